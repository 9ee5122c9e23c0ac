'use strict';
// node-redis 5 in RESP2 and RESP3: handshake, cache, pipelines, transactions,
// scans and scripts over all nodes.

const assert = require('node:assert/strict');
const { createClient, createClientPool, defineScript, WatchError } = require('redis');
const { next, key, spray, eventually, main } = require('./nodes');

// everything returns the parts for one protocol.
function everything(RESP) {
  const k = (name) => key(`node-redis ${RESP}:${name}`);
  // The text is new, so that no node knows it before.
  const addAll = defineScript({
    NUMBER_OF_KEYS: 1,
    SCRIPT: `-- ${k('script')}
      return {redis.call('incrby', KEYS[1], ARGV[1]), 'x', false, redis.status_reply('FINE'), 3.9}`,
    parseCommand(parser, name, by) {
      parser.pushKey(name);
      parser.push(String(by));
    },
    transformReply: undefined,
  });
  const options = (more) => ({ url: next().url, RESP, name: 'worker', scripts: { addAll }, ...more });
  const connect = (more) => createClient(options(more)).on('error', console.error).connect();
  let clients, a, b, c;

  return {
    async handshake() {
      clients = [a, b, c] = await Promise.all([connect(), connect(), connect()]);
      for (const client of clients) {
        assert.equal(await client.ping(), 'PONG');
        assert.equal(await client.clientGetName(), 'worker');
        const info = await client.sendCommand(['CLIENT', 'INFO']);
        assert.match(String(info), new RegExp(` resp=${RESP} lib-name=node-redis lib-ver=5\\.12\\.1`));
      }
      const other = await connect({ database: 5 });
      await other.set(k('in db 5'), 'x');
      assert.deepEqual([await a.get(k('in db 5')), await other.get(k('in db 5'))], [null, 'x']);
      await other.close();
    },

    async cache() {
      assert.equal(await a.set(k('page'), 'body', { expiration: { type: 'PX', value: 60_000 } }), 'OK');
      assert.equal(await b.get(k('page')), 'body');
      const ttl = await c.pTTL(k('page'));
      assert.ok(ttl > 0 && ttl <= 60_000, `got a TTL of ${ttl} ms`);
      assert.equal(await a.set(k('page'), 'other', { condition: 'NX' }), null);
      assert.equal(await a.getEx(k('page'), { type: 'PERSIST' }), 'body');
      assert.equal(await b.ttl(k('page')), -1);
      assert.equal(await c.getDel(k('page')), 'body');
      assert.equal(await a.exists(k('page')), 0);

      await a.setEx(k('brief'), 60, 'x');
      assert.equal(await b.pExpire(k('brief'), 100), 1);
      await eventually('a key of 100 ms is gone', async () => (await c.get(k('brief'))) === null);

      await a.mSet([[k('x'), '1'], [k('y'), '2']]);
      assert.deepEqual(await b.mGet([k('x'), k('none'), k('y')]), ['1', null, '2']);
      await assert.rejects(b.lPush(k('x'), 'x'), /WRONGTYPE /);
    },

    async types() {
      await a.hSet(k('user'), { name: 'Ada', visits: 1 });
      assert.equal(await b.hIncrBy(k('user'), 'visits', 2), 3);
      assert.deepEqual({ ...(await c.hGetAll(k('user'))) }, { name: 'Ada', visits: '3' });
      assert.equal(await a.sAdd(k('tags'), ['x', 'y', 'x']), 2);
      assert.deepEqual([...(await b.sMembers(k('tags')))].sort(), ['x', 'y']);
      assert.equal(await a.zAdd(k('board'), [{ score: 1.5, value: 'one' }, { score: Infinity, value: 'two' }]), 2);
      assert.deepEqual((await b.zRangeWithScores(k('board'), 0, -1)).map((m) => ({ ...m })),
        [{ value: 'one', score: 1.5 }, { value: 'two', score: Infinity }]);
      assert.equal(await c.zIncrBy(k('board'), 0.5, 'one'), 2);
      assert.deepEqual({ ...(await a.zPopMin(k('board'))) }, { value: 'one', score: 2 });
      assert.equal(await a.rPush(k('list'), ['x', 'y', 'z']), 3);
      assert.deepEqual(await b.lRange(k('list'), 0, -1), ['x', 'y', 'z']);
    },

    async pipelines() {
      // What is sent in one turn of the event loop goes out together.
      const numbers = Array.from({ length: 500 }, (_, i) => i);
      const replies = await Promise.all(numbers.map((i) => a.incrBy(k('sum'), i)));
      assert.equal(replies.at(-1), (499 * 500) / 2);
      const pipeline = b.multi();
      numbers.forEach((i) => pipeline.set(k(`p:${i}`), String(i)));
      assert.deepEqual(await pipeline.execAsPipeline(), numbers.map(() => 'OK'));
      assert.deepEqual(await c.mGet(numbers.map((i) => k(`p:${i}`))), numbers.map(String));
    },

    async transactions() {
      assert.deepEqual(await a.multi().set(k('t'), '1').incr(k('t')).get(k('t')).exec(), ['OK', 2, '2']);
      await assert.rejects(a.multi().incr(k('t')).lPush(k('t'), 'x').incr(k('t')).exec(), /1 commands failed/);
      assert.equal(await b.get(k('t')), '4');

      await b.watch(k('t'));
      await c.set(k('t'), '9');
      await assert.rejects(b.multi().set(k('t'), '0').exec(), WatchError, 'changed through another node');
      assert.equal(await a.get(k('t')), '9');

      // Twelve workers, four at each node, add one five times each.
      const pools = await Promise.all([1, 2, 3].map(() => createClientPool(options(), { maximum: 4 }).connect()));
      await spray(12, async (i) => {
        for (let left = 5; left > 0;) {
          await pools[i % 3].execute(async (client) => {
            await client.watch(k('count'));
            const count = Number(await client.get(k('count')));
            await client.multi().set(k('count'), String(count + 1)).exec();
          }).then(() => left--, (err) => assert.ok(err instanceof WatchError, err));
        }
      });
      assert.equal(await a.get(k('count')), '60');
      await Promise.all(pools.map((pool) => pool.close()));
    },

    async scans() {
      const names = Array.from({ length: 1000 }, (_, i) => k(`scan:${i}`)).sort();
      await a.mSet(names.map((name) => [name, 'x']));
      const found = new Set();
      for await (const batch of b.scanIterator({ MATCH: k('scan:*'), COUNT: 100, TYPE: 'string' })) {
        batch.forEach((name) => found.add(name));
      }
      assert.deepEqual([...found].sort(), names);

      await a.sAdd(k('set'), names);
      await a.zAdd(k('zset'), names.map((value, score) => ({ value, score })));
      const [members, scores] = [new Set(), new Map()];
      for await (const batch of b.sScanIterator(k('set'), { COUNT: 100 })) {
        batch.forEach((name) => members.add(name));
      }
      for await (const batch of c.zScanIterator(k('zset'), { COUNT: 100 })) {
        batch.forEach(({ value, score }) => scores.set(value, score));
      }
      assert.deepEqual([...members].sort(), names);
      assert.deepEqual(names.map((name) => scores.get(name)), names.map((_, i) => i));
    },

    async scripts() {
      assert.deepEqual(await a.addAll(k('scripted'), 2), [2, 'x', null, 'FINE', 3]);
      assert.deepEqual(await b.addAll(k('scripted'), 2), [4, 'x', null, 'FINE', 3]);
      const digest = await c.scriptLoad(`return ARGV[1] .. '${k('by digest')}'`);
      assert.equal(await a.evalSha(digest, { arguments: ['y'] }), 'y' + k('by digest'), 'known where it was not loaded');
      await assert.rejects(b.evalSha('0'.repeat(40)), /^\w*Error: NOSCRIPT No matching script\. Please use EVAL\.$/);
      assert.equal(await b.evalRo("return redis.call('get', KEYS[1])", { keys: [k('scripted')] }), '4');
    },

    async end() {
      await Promise.all(clients.map((client) => client.close()));
    },
  };
}

const parts = {};
for (const RESP of [2, 3]) {
  for (const [name, part] of Object.entries(everything(RESP))) {
    parts[`node-redis RESP${RESP}, ${name}`] = part;
  }
}
main(parts);
