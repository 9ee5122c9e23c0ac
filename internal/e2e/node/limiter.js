'use strict';
// rate-limiter-flexible on ioredis and node-redis: one limit for all workers,
// whichever node each of them talks to.

const assert = require('node:assert/strict');
const { Redis } = require('ioredis');
const { Redis: Redis6 } = require('ioredis6');
const { createClient } = require('redis');
const { RateLimiterRedis, RateLimiterRes } = require('rate-limiter-flexible');
const { next, key, spray, main } = require('./nodes');

const connectRedis = (RESP) => createClient({ url: next().url, RESP }).on('error', console.error).connect();

// kinds holds how a worker gets a client of each kind.
const kinds = {
  'ioredis 5': async () => new Redis(next()),
  'ioredis 6, RESP3': async () => new Redis6({ ...next(), protocol: 3 }),
  'node-redis, RESP2': () => connectRedis(2),
  'node-redis, RESP3': () => connectRedis(3),
};

async function everything(kind) {
  const clients = await spray(6, kinds[kind]);
  const limiters = (options) => clients.map((storeClient) => new RateLimiterRedis({
    storeClient,
    useRedisPackage: kind.startsWith('node-redis'),
    keyPrefix: key(kind),
    ...options,
  }));
  // consume sprays 200 requests over the workers and returns those refused,
  // and how many points each that was admitted left.
  const consume = async (workers, user) => {
    const refused = [];
    const left = [];
    await spray(200, (i) => workers[i % workers.length].consume(user).then(
      (res) => left.push(res.remainingPoints),
      (res) => refused.push(res),
    ));
    return { refused, left: left.sort((x, y) => y - x) };
  };

  // Five in a minute: exactly five of 200 are admitted.
  const minute = limiters({ points: 5, duration: 60 });
  const { refused, left } = await consume(minute, 'ada');
  assert.deepEqual(left, [4, 3, 2, 1, 0]);
  for (const res of refused) {
    assert.ok(res instanceof RateLimiterRes, res);
    assert.ok(res.msBeforeNext > 0 && res.msBeforeNext <= 60_000, `got ${res.msBeforeNext} ms`);
  }
  const { consumedPoints, remainingPoints } = await minute[1].get('ada');
  assert.deepEqual({ consumedPoints, remainingPoints }, { consumedPoints: 200, remainingPoints: 0 });
  assert.equal(await minute[2].get('nobody'), null);

  // Another user has points of their own; given back ones count again.
  assert.equal((await minute[0].consume('bob', 3)).remainingPoints, 2);
  assert.equal((await minute[1].reward('bob', 2)).consumedPoints, 1);
  assert.equal((await minute[2].penalty('bob', 4)).consumedPoints, 5);
  await assert.rejects(minute[0].consume('bob'), (res) => res.consumedPoints === 6);

  // What one worker deletes or blocks, it does for all.
  assert.equal(await minute[0].delete('ada'), true);
  assert.equal((await minute[1].consume('ada')).remainingPoints, 4);
  await minute[2].block('ada', 30);
  await assert.rejects(minute[0].consume('ada'), (res) => res.msBeforeNext > 0 && res.msBeforeNext <= 30_000);

  // Seven for ever, which is a MULTI instead of a script.
  const forever = await consume(limiters({ points: 7, duration: 0 }), 'carl');
  assert.deepEqual(forever.left, [6, 5, 4, 3, 2, 1, 0]);
  assert.deepEqual(forever.refused.map((res) => res.msBeforeNext), Array(193).fill(-1));

  await Promise.all(clients.map((client) => client.quit()));
}

main(Object.fromEntries(Object.keys(kinds).map((kind) => [`rate-limiter-flexible, ${kind}`, () => everything(kind)])));
