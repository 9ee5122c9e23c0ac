'use strict';
// node-redis' copies of what it has read, which die when the key is changed
// through any node (CLIENT TRACKING, RESP3).

const assert = require('node:assert/strict');
const { createClient, createClientPool, BasicClientSideCache, BasicPooledClientSideCache } = require('redis');
const { addresses, key, eventually, main } = require('./nodes');

const connect = ({ url }, more) => createClient({ url, RESP: 3, socket: { reconnectStrategy: false }, ...more })
  .on('error', console.error).connect();

let writers; // a client at each node

async function copies() {
  const caches = addresses.map(() => new BasicClientSideCache({ ttl: 0, maxEntries: 0, recordStats: true }));
  const readers = await Promise.all(addresses.map((node, i) => connect(node, { clientSideCache: caches[i] })));
  const [k, user] = [key('page'), key('user')];
  await writers[0].set(k, 'first');
  await writers[0].hSet(user, { name: 'Ada' });

  for (const [i, reader] of readers.entries()) {
    for (let times = 0; times < 10; times++) {
      assert.equal(await reader.get(k), 'first');
      assert.equal(await reader.hGet(user, 'name'), 'Ada');
    }
    const { hitCount, missCount } = caches[i].stats();
    assert.deepEqual({ hitCount, missCount }, { hitCount: 18, missCount: 2 }, 'read once, then from memory');
  }

  // Every kind of change reaches the copies of the readers at all nodes.
  const changes = {
    'SET': (writer) => writer.set(k, 'second').then(() => 'second'),
    'APPEND in MULTI': (writer) => writer.multi().append(k, ' third').exec().then(() => 'second third'),
    'a script': (writer) => writer.eval("redis.call('SET', KEYS[1], ARGV[1])", { keys: [k], arguments: ['fourth'] }).then(() => 'fourth'),
    'DEL': (writer) => writer.del(k).then(() => null),
    'SET with a time to live': (writer) => writer.set(k, 'brief', { expiration: { type: 'PX', value: 300 } }).then(() => 'brief'),
    'the end of that time': async () => null,
    'RENAME': (writer) => writer.multi().set(key('other'), 'fifth').rename(key('other'), k).exec().then(() => 'fifth'),
  };
  for (const [i, [what, change]] of Object.entries(changes).entries()) {
    const want = await change(writers[i % 3]);
    for (const reader of readers) {
      await eventually(`${what} is seen`, async () => (await reader.get(k)) === want);
    }
  }

  // What nobody changed is still a copy.
  const before = caches.map((cache) => cache.stats().missCount);
  for (const reader of readers) {
    assert.equal(await reader.hGet(user, 'name'), 'Ada');
  }
  assert.deepEqual(caches.map((cache) => cache.stats().missCount), before);
  await writers[2].hSet(user, 'name', 'Bob');
  for (const reader of readers) {
    await eventually('a field is seen', async () => (await reader.hGet(user, 'name')) === 'Bob');
  }
  readers.forEach((reader) => reader.destroy());
}

// A pool's connections share their copies.
async function pooled() {
  const cache = new BasicPooledClientSideCache({ ttl: 0, maxEntries: 0, recordStats: true });
  const pool = await createClientPool({ url: addresses[1].url, RESP: 3 }, { maximum: 3, clientSideCache: cache }).connect();
  await writers[0].set(key('pooled'), '0');
  for (let i = 1; i <= 20; i++) {
    await Promise.all([1, 2, 3].map(() => pool.get(key('pooled'))));
    await writers[i % 3].set(key('pooled'), String(i));
    await eventually('the new value is seen', async () => (await pool.get(key('pooled'))) === String(i));
  }
  assert.ok(cache.stats().hitCount >= 20, `got ${cache.stats().hitCount} hits`);
  pool.destroy();
}

// A worker may keep copies of its own, and be told of what it has read, or of
// all keys with a prefix.
async function told() {
  const reader = await connect(addresses[2], { emitInvalidate: true });
  const invalid = new Set();
  reader.on('invalidate', (of) => invalid.add(String(of)));
  await writers[0].set(key('read'), '0');
  assert.equal(await reader.get(key('read')), '0');
  await writers[0].set(key('not read'), '1');
  await writers[1].set(key('read'), '1');
  await eventually('it is told of what it has read', () => invalid.has(key('read')));
  assert.equal(invalid.has(key('not read')), false);

  await reader.sendCommand(['CLIENT', 'TRACKING', 'OFF']);
  await reader.sendCommand(['CLIENT', 'TRACKING', 'ON', 'BCAST', 'PREFIX', key('x:')]);
  invalid.clear();
  await writers[0].set(key('y:1'), '1');
  await writers[1].set(key('x:1'), '1');
  await writers[2].sAdd(key('x:2'), 'a');
  await eventually('it is told of keys with the prefix', () => invalid.has(key('x:1')) && invalid.has(key('x:2')));
  assert.equal(invalid.has(key('y:1')), false);
  reader.destroy();
}

main({
  'tracking, connections': async () => {
    writers = await Promise.all(addresses.map((node) => connect(node)));
  },
  'tracking, copies': copies,
  'tracking, a pool': pooled,
  'tracking, told': told,
});
