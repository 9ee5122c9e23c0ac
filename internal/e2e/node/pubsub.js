'use strict';
// SUBSCRIBE and PUBLISH of ioredis and node-redis: what is published through
// any node is heard at all, by everybody in the same order.

const assert = require('node:assert/strict');
const { Redis: Redis5 } = require('ioredis');
const { Redis: Redis6 } = require('ioredis6');
const { createClient } = require('redis');
const { addresses, key, eventually, main } = require('./nodes');

// Both kinds of clients subscribe with a listener of (message, channel).
const ioredis = {
  subscribe(client, channel, listener) {
    client.on('message', (of, message) => of === channel && listener(message, of));
    return client.subscribe(channel);
  },
  psubscribe(client, pattern, listener) {
    client.on('pmessage', (of, channel, message) => of === pattern && listener(message, channel));
    return client.psubscribe(pattern);
  },
  unsubscribe: (client, channel) => client.unsubscribe(channel),
  drop: (client) => client.disconnect(),
};
const nodeRedis = {
  subscribe: (client, channel, listener) => client.subscribe(channel, listener),
  psubscribe: (client, pattern, listener) => client.pSubscribe(pattern, listener),
  unsubscribe: (client, channel) => client.unsubscribe(channel),
  drop: (client) => client.destroy(),
};

// ready waits until ioredis has looked at the server, for which it uses a
// command that a subscriber may not send.
async function ready(client) {
  await client.connect();
  return client;
}

const kinds = {
  'ioredis 5': { ...ioredis, connect: (node) => ready(new Redis5({ ...node, lazyConnect: true })) },
  'ioredis 6, RESP3': { ...ioredis, connect: (node) => ready(new Redis6({ ...node, protocol: 3, lazyConnect: true })) },
  'node-redis, RESP2': { ...nodeRedis, connect: ({ url }) => createClient({ url, RESP: 2 }).on('error', () => {}).connect() },
  'node-redis, RESP3': { ...nodeRedis, connect: ({ url }) => createClient({ url, RESP: 3 }).on('error', () => {}).connect() },
};

async function everything(what, kind) {
  const channel = key(`${what}:orders`);
  const publishers = await Promise.all(addresses.map((node) => kind.connect(node)));
  const subscribers = await Promise.all(addresses.map((node) => kind.connect(node)));
  const heard = subscribers.map(() => []);
  const matched = subscribers.map(() => []);
  for (const [i, client] of subscribers.entries()) {
    await kind.subscribe(client, channel, (message) => heard[i].push(message));
    await kind.psubscribe(client, key(`${what}:ord*`), (message, of) => matched[i].push(`${of}=${message}`));
  }

  // A hundred through each node at once; those of one come in their order,
  // those of all in one order everywhere.
  const messages = publishers.map((_, i) => Array.from({ length: 100 }, (_, j) => `${i}:${String(j).padStart(2, '0')}`));
  await Promise.all(publishers.map(async (client, i) => {
    for (const message of messages[i]) {
      await client.publish(channel, message);
    }
  }));
  await eventually('all have heard 300', () => [...heard, ...matched].every((some) => some.length >= 300));
  for (const [i, some] of messages.entries()) {
    assert.deepEqual(heard[0].filter((message) => message.startsWith(`${i}:`)), some);
  }
  for (const some of heard) {
    assert.deepEqual(some, heard[0], 'the same order at all nodes');
  }
  for (const some of matched) {
    assert.deepEqual(some, heard[0].map((message) => `${channel}=${message}`));
  }

  // Bytes pass, and so does a message of a script and of a transaction.
  heard.forEach((some) => some.splice(0));
  const text = 'grüße \r\n\0 $3';
  await publishers[1].publish(channel, text);
  await eventually('the text is heard', () => heard.every((some) => some.length > 0));
  await publishers[2].multi().set(key(`${what}:saved`), 'x').publish(channel, 'saved').exec();
  await eventually('the message of a transaction is heard', () => heard.every((some) => some.length > 1));
  assert.deepEqual(heard, heard.map(() => [text, 'saved']));

  // Who does not listen any more hears nothing, and others still do.
  await kind.unsubscribe(subscribers[0], channel);
  await publishers[1].publish(channel, 'last');
  await eventually('the others hear', () => heard[1].includes('last') && heard[2].includes('last'));
  await eventually('patterns are others', () => matched[0].at(-1) === `${channel}=last`);
  assert.equal(heard[0].includes('last'), false);
  assert.equal(await publishers[0].ping(), 'PONG');

  [...publishers, ...subscribers].forEach(kind.drop);
}

// What is done to keys through one node is told at another, to who asked as
// Spring's sessions do.
async function notices() {
  const [writer, asker, listener] = await Promise.all(
    addresses.map((node) => ready(new Redis5({ ...node, db: 3, lazyConnect: true }))),
  );
  await asker.config('SET', 'notify-keyspace-events', 'Egx');
  const heard = [];
  listener.on('pmessage', (pattern, channel, name) => name.startsWith(key('')) && heard.push([channel.split(':')[1], name]));
  await listener.psubscribe('__keyevent@3__:*');
  await writer.set(key('brief'), 'x', 'PX', 100);
  await eventually('the end of a key is told', () => heard.some(([what]) => what === 'expired'));
  await writer.set(key('long'), 'x');
  await writer.expire(key('long'), 60);
  await asker.del(key('long'));
  await eventually('that a key was deleted is told', () => heard.some(([what]) => what === 'del'));
  assert.deepEqual(heard.filter(([, name]) => name === key('brief')).at(-1), ['expired', key('brief')]);
  assert.deepEqual(heard.filter(([, name]) => name === key('long')), [['expire', key('long')], ['del', key('long')]]);
  [writer, asker, listener].forEach((client) => client.disconnect());
}

const parts = Object.fromEntries(Object.entries(kinds).map(([what, kind]) => [`messages, ${what}`, () => everything(what, kind)]));
main({ ...parts, 'notices of keys, ioredis 5': notices });
