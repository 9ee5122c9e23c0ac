'use strict';
// redlock 5 and 4: mutual exclusion of workers at all nodes. The nodes are one
// service, so each worker has one of them, not all of them as if they were
// independent.

const assert = require('node:assert/strict');
const { Redis } = require('ioredis');
const { Redis: Redis6 } = require('ioredis6');
const { default: Redlock5, ExecutionError, ResourceLockedError } = require('redlock');
const Redlock4 = require('redlock4');
const { next, key, spray, sleep, eventually, main } = require('./nodes');

const connect = () => new Redis(next());
const connect6 = () => new Redis6({ ...next(), protocol: 3 });
const patient = { retryCount: -1, retryDelay: 20, retryJitter: 10 };
const impatient = { retryCount: 0 };

// exclude lets twelve workers add one to a counter five times each, without
// any atomicity but the lock's. acquire(i) is worker i's.
async function exclude(name, acquire, release) {
  const [read, write] = [connect(), connect()];
  let inside = 0;
  await spray(12, async (i) => {
    for (let turn = 0; turn < 5; turn++) {
      const lock = await acquire(i);
      assert.equal(++inside, 1, 'two hold the lock');
      const count = Number(await read.get(key(name)));
      await sleep(1);
      await write.set(key(name), count + 1);
      inside--;
      await release(lock);
    }
  });
  assert.equal(await read.get(key(name)), '60');
  await Promise.all([read.quit(), write.quit()]);
}

async function version5(name, connect) {
  const clients = await spray(12, connect);
  const workers = clients.map((client) => new Redlock5([client], patient));
  await exclude(name, (i) => workers[i].acquire([key(`${name} lock`)], 30_000), (lock) => lock.release());

  // A lock of two keys keeps out one of either, at every node.
  const [a, b, c] = clients.map((client) => new Redlock5([client], impatient));
  const both = await a.acquire([key('x'), key('y')], 30_000);
  for (const other of [b, c]) {
    const errors = [];
    other.once('error', (err) => errors.push(err));
    await assert.rejects(other.acquire([key('y')], 30_000), ExecutionError);
    assert.ok(errors[0] instanceof ResourceLockedError, errors[0]);
  }
  const extended = await both.extend(60_000);
  const ttl = await clients[1].pttl(key('y'));
  assert.ok(ttl > 30_000 && ttl <= 60_000, `got a TTL of ${ttl} ms`);
  await extended.release();
  await (await b.acquire([key('y')], 30_000)).release();

  // A lock that is lost while it is used: the user is told, and the new
  // holder's lock stays.
  let isTold = false;
  await assert.rejects(a.using([key('lost')], 400, { automaticExtensionThreshold: 200 }, async (signal) => {
    await clients[1].set(key('lost'), 'of another');
    await eventually('the holder is told', () => signal.aborted);
    isTold = true;
  }), ExecutionError);
  assert.ok(isTold);
  assert.equal(await clients[2].getdel(key('lost')), 'of another');

  // A lock that nobody extends ends by itself.
  await a.acquire([key('short')], 100);
  const after = await new Redlock5([clients[1]], patient).acquire([key('short')], 30_000);
  await after.release();
  await Promise.all(clients.map((client) => client.quit()));
}

async function version4() {
  const clients = await spray(12, connect);
  const workers = clients.map((client) => new Redlock4([client], patient));
  await exclude('version 4', (i) => workers[i].lock(key('lock of 4'), 30_000), (lock) => lock.unlock());

  const [a, b] = clients.map((client) => new Redlock4([client], impatient));
  const lock = await a.lock(key('held'), 30_000);
  await assert.rejects(b.lock(key('held'), 30_000), Redlock4.LockError);
  await clients[2].set(key('held'), 'of another');
  await assert.rejects(lock.extend(30_000), Redlock4.LockError);
  await assert.rejects(lock.unlock(), Redlock4.LockError);
  assert.equal(await clients[0].getdel(key('held')), 'of another');
  await Promise.all(clients.map((client) => client.quit()));
}

main({
  'redlock 5 on ioredis 5': () => version5('five', connect),
  'redlock 5 on ioredis 6, RESP3': () => version5('six', connect6),
  'redlock 4 on ioredis 5': version4,
});
