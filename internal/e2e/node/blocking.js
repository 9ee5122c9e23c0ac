'use strict';
// Blocking pops of ioredis and node-redis: workers wait at all nodes for jobs
// that come through any, and each job is done once.

const assert = require('node:assert/strict');
const { Redis: Redis5 } = require('ioredis');
const { Redis: Redis6 } = require('ioredis6');
const { createClient } = require('redis');
const { addresses, next, key, spray, sleep, eventually, main } = require('./nodes');

// kinds holds the calls of each kind of client. A pop returns the element, or
// null where none came in time.
const ioredis = {
  blpop: async (client, keys, seconds) => (await client.blpop(keys, seconds))?.[1] ?? null,
  brpop: async (client, keys, seconds) => (await client.brpop(keys, seconds))?.[1] ?? null,
  blmove: (client, from, to, seconds) => client.blmove(from, to, 'LEFT', 'RIGHT', seconds),
  blmpop: async (client, keys, seconds) => (await client.blmpop(seconds, keys.length, keys, 'LEFT', 'COUNT', 2))?.[1] ?? null,
  bzpopmin: async (client, keys, seconds) => (await client.bzpopmin(keys, seconds))?.[1] ?? null,
  push: (client, to, elements) => client.rpush(to, elements),
  zadd: (client, to, score, member) => client.zadd(to, score, member),
  range: (client, of) => client.lrange(of, 0, -1),
  names: async (client) => [...(await client.client('LIST')).matchAll(/ name=(\S*)/g)].map((match) => match[1]),
  drop: (client) => client.disconnect(),
};
const nodeRedis = {
  blpop: async (client, keys, seconds) => (await client.blPop(keys, seconds))?.element ?? null,
  brpop: async (client, keys, seconds) => (await client.brPop(keys, seconds))?.element ?? null,
  blmove: (client, from, to, seconds) => client.blMove(from, to, 'LEFT', 'RIGHT', seconds),
  blmpop: async (client, keys, seconds) => (await client.blmPop(seconds, keys, 'LEFT', { COUNT: 2 }))?.[1] ?? null,
  bzpopmin: async (client, keys, seconds) => (await client.bzPopMin(keys, seconds))?.value ?? null,
  push: (client, to, elements) => client.rPush(to, elements),
  zadd: (client, to, score, value) => client.zAdd(to, { score, value }),
  range: (client, of) => client.lRange(of, 0, -1),
  names: async (client) => (await client.clientList()).map(({ name }) => name),
  drop: (client) => client.destroy(),
};
const kinds = {
  'ioredis 5': { ...ioredis, connect: async (node, connectionName) => new Redis5({ ...node, connectionName }) },
  'ioredis 6, RESP3': { ...ioredis, connect: async (node, connectionName) => new Redis6({ ...node, protocol: 3, connectionName }) },
  'node-redis, RESP2': { ...nodeRedis, connect: ({ url }, name) => createClient({ url, RESP: 2, name }).on('error', () => {}).connect() },
  'node-redis, RESP3': { ...nodeRedis, connect: ({ url }, name) => createClient({ url, RESP: 3, name }).on('error', () => {}).connect() },
};

function everything(what, kind) {
  const k = (name) => key(`${what}:${name}`);
  let workers, a, b, c;

  return {
    async connections() {
      workers = await spray(6, () => kind.connect(next()));
      [a, b, c] = await Promise.all(addresses.map((node) => kind.connect(node)));
    },

    async 'one waits'() {
      const begin = Date.now();
      assert.equal(await kind.blpop(workers[0], [k('none')], 0.2), null);
      assert.ok(Date.now() - begin >= 190, 'waited');
      const waiting = kind.blpop(workers[0], [k('x'), k('y')], 0);
      await sleep(50); // by now it waits, or not yet: both must do
      await kind.push(b, k('y'), ['first', 'second']);
      assert.equal(await waiting, 'first');
      assert.equal(await kind.brpop(workers[1], [k('x'), k('y')], 5), 'second', 'there is one already');
    },

    async 'each job is done once'() {
      const done = workers.map(() => []);
      const working = Promise.all(workers.map(async (worker, i) => {
        for (let job; (job = await kind.blpop(worker, [k('jobs')], 0)) !== 'end';) {
          done[i].push(job);
        }
      }));
      const jobs = Array.from({ length: 300 }, (_, i) => String(i).padStart(3, '0'));
      await Promise.all([a, b, c].map(async (client, i) => {
        for (const job of jobs.slice(100 * i, 100 * i + 100)) {
          await kind.push(client, k('jobs'), [job]);
        }
      }));
      await kind.push(a, k('jobs'), workers.map(() => 'end'));
      await working;
      assert.deepEqual(done.flat().sort(), jobs);
      for (const mine of done) { // one who pushes in order is served in order
        for (const of of ['0', '1', '2']) {
          const some = mine.filter((job) => job.startsWith(of));
          assert.deepEqual(some, [...some].sort());
        }
      }
    },

    async 'a job that is being done is kept'() {
      const moving = Promise.all(workers.map((worker) => kind.blmove(worker, k('todo'), k('doing'), 0)));
      for (const [i, job] of ['u', 'v', 'w', 'x', 'y', 'z'].entries()) {
        await kind.push([a, b, c][i % 3], k('todo'), [job]);
      }
      assert.deepEqual((await moving).sort(), ['u', 'v', 'w', 'x', 'y', 'z']);
      assert.deepEqual((await kind.range(a, k('doing'))).sort(), ['u', 'v', 'w', 'x', 'y', 'z']);
    },

    async 'several at once, and the least first'() {
      const several = kind.blmpop(workers[0], [k('p'), k('q')], 0);
      const least = kind.bzpopmin(workers[1], [k('scores')], 0);
      await sleep(50);
      await kind.push(b, k('q'), ['1', '2', '3']);
      await kind.zadd(c, k('scores'), 7, 'seven');
      assert.deepEqual([...(await several)], ['1', '2']);
      assert.equal(await least, 'seven');
      await kind.zadd(a, k('scores'), 5, 'five');
      await kind.zadd(b, k('scores'), 3, 'three');
      assert.equal(await kind.bzpopmin(workers[2], [k('scores')], 1), 'three');
    },

    async 'who has gone takes nothing'() {
      const leaver = await kind.connect(addresses[0], 'leaver');
      const waiting = kind.blpop(leaver, [k('left')], 0).catch(() => null);
      await eventually('it waits', async () => (await kind.names(a)).includes('leaver'));
      await sleep(50);
      kind.drop(leaver);
      await waiting;
      await eventually('the node knows', async () => !(await kind.names(a)).includes('leaver'));
      await kind.push(b, k('left'), ['kept']);
      assert.equal(await kind.blpop(c, [k('left')], 5), 'kept');
    },

    async end() {
      [a, b, c, ...workers].forEach(kind.drop);
    },
  };
}

const parts = {};
for (const [what, kind] of Object.entries(kinds)) {
  for (const [name, part] of Object.entries(everything(what, kind))) {
    parts[`${what}, ${name}`] = part;
  }
}
main(parts);
