'use strict';
// ioredis 5, which speaks RESP2, and 6, which speaks both: handshake, cache,
// pipelines, transactions, scans and scripts over all nodes.

const assert = require('node:assert/strict');
const { Redis: Redis5 } = require('ioredis');
const { Redis: Redis6 } = require('ioredis6');
const { next, key, spray, eventually, main } = require('./nodes');

// everything returns the parts for one version and protocol.
function everything(what, Redis, protocol) {
  const k = (name) => key(`${what}:${name}`);
  const connect = (options) => new Redis({ ...next(), protocol, connectionName: 'worker', ...options });
  const clients = [connect(), connect(), connect()];
  const [a, b, c] = clients;

  return {
    async handshake() {
      for (const client of clients) {
        assert.equal(await client.ping(), 'PONG');
        assert.equal(await client.client('GETNAME'), 'worker');
        assert.match(await client.client('INFO'), new RegExp(` resp=${protocol}\\b.* lib-name=ioredis`));
        assert.match(await client.info('server'), /redis_version:7\.0\.15/);
      }
      const other = connect({ db: 5 });
      await other.set(k('in db 5'), 'x');
      assert.deepEqual([await a.get(k('in db 5')), await other.get(k('in db 5'))], [null, 'x']);
      assert.equal(await other.quit(), 'OK');
    },

    async cache() {
      assert.equal(await a.set(k('page'), 'body', 'PX', 60_000), 'OK');
      assert.equal(await b.get(k('page')), 'body');
      const ttl = await c.pttl(k('page'));
      assert.ok(ttl > 0 && ttl <= 60_000, `got a TTL of ${ttl} ms`);
      assert.equal(await a.set(k('page'), 'other', 'EX', 60, 'NX'), null);
      assert.equal(await a.set(k('page'), 'new', 'KEEPTTL', 'GET'), 'body');
      assert.equal(await b.getdel(k('page')), 'new');
      assert.equal(await c.exists(k('page')), 0);

      await a.set(k('brief'), 'x', 'PX', 100);
      await eventually('a key of 100 ms is gone', async () => (await b.get(k('brief'))) === null);

      const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
      await a.set(k('bytes'), bytes);
      assert.deepEqual(await b.getBuffer(k('bytes')), bytes);
      await assert.rejects(b.incr(k('bytes')), /^ReplyError: ERR value is not an integer or out of range$/);
      await assert.rejects(b.lpush(k('bytes'), 'x'), /^ReplyError: WRONGTYPE /);
    },

    async types() {
      await a.hset(k('user'), { name: 'Ada', visits: 1 });
      assert.equal(await b.hincrby(k('user'), 'visits', 2), 3);
      assert.deepEqual({ ...(await c.hgetall(k('user'))) }, { name: 'Ada', visits: '3' });
      assert.equal(await a.sadd(k('tags'), 'x', 'y', 'x'), 2);
      assert.deepEqual((await b.smembers(k('tags'))).sort(), ['x', 'y']);
      assert.equal(await a.zadd(k('board'), 1.5, 'one', 2, 'two'), 2);
      assert.deepEqual(await b.zrange(k('board'), 0, -1, 'WITHSCORES'), ['one', '1.5', 'two', '2']);
      assert.equal(await c.zscore(k('board'), 'one'), '1.5');
      assert.equal(await a.rpush(k('list'), 'x', 'y', 'z'), 3);
      assert.deepEqual(await b.lrange(k('list'), 0, -1), ['x', 'y', 'z']);
    },

    async pipelines() {
      const pipeline = a.pipeline();
      for (let i = 0; i < 500; i++) {
        pipeline.set(k(`p:${i}`), i).incrby(k('sum'), i);
      }
      const replies = await pipeline.exec();
      assert.equal(replies.length, 1000);
      assert.deepEqual(replies.at(-1), [null, (499 * 500) / 2]);
      const keys = Array.from({ length: 500 }, (_, i) => k(`p:${i}`));
      assert.deepEqual(await b.mget(keys), keys.map((_, i) => String(i)));
      const mixed = await c.pipeline().get(k('p:1')).lpop(k('p:1')).get(k('p:2')).exec();
      assert.deepEqual([mixed[0], mixed[2]], [[null, '1'], [null, '2']]);
      assert.match(String(mixed[1][0]), /WRONGTYPE/);

      const automatic = connect({ enableAutoPipelining: true });
      assert.deepEqual(await Promise.all(keys.map((key) => automatic.get(key))), keys.map((_, i) => String(i)));
      automatic.disconnect();
    },

    async transactions() {
      assert.deepEqual(await a.multi().set(k('t'), 1).incr(k('t')).lpush(k('t'), 'x').incr(k('t')).exec()
        .then((replies) => replies.map(([err, reply]) => (err ? err.message.split(' ')[0] : reply))),
      ['OK', 2, 'WRONGTYPE', 3]);

      await b.watch(k('t'));
      await c.set(k('t'), 9);
      assert.equal(await b.multi().set(k('t'), 0).exec(), null, 'changed through another node');
      assert.equal(await a.get(k('t')), '9');

      // Twelve workers, four at each node, add one five times each.
      await spray(12, async () => {
        const worker = connect();
        for (let left = 5; left > 0;) {
          await worker.watch(k('count'));
          const count = Number(await worker.get(k('count')));
          left -= (await worker.multi().set(k('count'), count + 1).exec()) ? 1 : 0;
        }
        worker.disconnect();
      });
      assert.equal(await a.get(k('count')), '60');
    },

    async scans() {
      const names = Array.from({ length: 1000 }, (_, i) => k(`scan:${i}`));
      await a.mset(names.flatMap((name) => [name, 'x']));
      const found = new Set();
      for await (const batch of b.scanStream({ match: k('scan:*'), count: 100 })) {
        batch.forEach((name) => found.add(name));
      }
      assert.deepEqual([...found].sort(), names.sort());

      // One scan, each step of it at the next node, while keys are deleted.
      found.clear();
      let cursor = '0';
      for (let step = 0; step === 0 || cursor !== '0'; step++) {
        let batch;
        [cursor, batch] = await clients[step % 3].scan(cursor, 'MATCH', k('scan:*'), 'COUNT', 50);
        batch.forEach((name) => found.add(name));
        await c.del(batch.filter((name) => name.endsWith('7')).concat(k('none')));
      }
      assert.deepEqual([...found].sort(), names);

      await a.hset(k('hash'), Object.fromEntries(names.map((name) => [name, 'x'])));
      let fields = 0;
      for await (const batch of b.hscanStream(k('hash'), { count: 100 })) {
        fields += batch.length / 2;
      }
      assert.equal(fields, 1000);
    },

    async scripts() {
      // The text is new, so that no node knows it before.
      const lua = `-- ${k('script')}
        return {redis.call('incrby', KEYS[1], ARGV[1]), 'x', false, redis.status_reply('FINE'), 3.9}`;
      for (const client of clients) {
        client.defineCommand('addAll', { numberOfKeys: 1, lua });
      }
      assert.deepEqual(await a.addAll(k('scripted'), 2), [2, 'x', null, 'FINE', 3]);
      assert.deepEqual(await b.addAll(k('scripted'), 2), [4, 'x', null, 'FINE', 3]);

      const text = `return ARGV[1] .. '${k('by digest')}'`;
      const digest = require('node:crypto').createHash('sha1').update(text).digest('hex');
      await assert.rejects(a.evalsha(digest, 0, 'x'), /^ReplyError: NOSCRIPT No matching script\. Please use EVAL\.$/);
      assert.equal(await b.eval(text, 0, 'x'), 'x' + k('by digest'));
      assert.equal(await c.evalsha(digest, 0, 'y'), 'y' + k('by digest'), 'known where it was not loaded');
      assert.deepEqual(await a.script('EXISTS', digest, '0'.repeat(40)), [1, 0]);
      await assert.rejects(a.eval("return redis.call('incr', KEYS[1], 'x')", 1, k('e')), /wrong number of args/i);
    },

    async end() {
      await Promise.all(clients.map((client) => client.quit()));
    },
  };
}

const parts = {};
for (const [what, Redis, protocol] of [['5', Redis5, 2], ['6 RESP2', Redis6, 2], ['6 RESP3', Redis6, 3]]) {
  for (const [name, part] of Object.entries(everything(what, Redis, protocol))) {
    parts[`ioredis ${what}, ${name}`] = part;
  }
}
main(parts);
