'use strict';
// connect-redis with express-session: a web application of three workers, each
// with the next node, and a browser whose requests come to any of them.

const assert = require('node:assert/strict');
const { createServer } = require('node:http');
const session = require('express-session');
const { RedisStore } = require('connect-redis');
const { createClient } = require('redis');
const { addresses, key, spray, main } = require('./nodes');

// startWorker starts a server with its own connection to one node.
async function startWorker({ url }, RESP, prefix) {
  const client = await createClient({ url, RESP }).on('error', console.error).connect();
  const store = new RedisStore({ client, prefix, ttl: 60 });
  const middleware = session({ store, secret: 'of the test', resave: false, saveUninitialized: false });
  const server = createServer((request, response) => {
    middleware(request, response, (err) => {
      try {
        assert.ifError(err);
        answer(request, response);
      } catch (err) {
        response.writeHead(500).end(String(err));
      }
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { client, store, server, url: `http://127.0.0.1:${server.address().port}` };
}

// answer is the application: each of its calls uses what another has saved.
function answer(request, response) {
  const { pathname, searchParams } = new URL(request.url, 'http://app');
  const done = (body) => response.end(JSON.stringify(body));
  switch (pathname) {
    case '/login':
      request.session.state = searchParams.get('state');
      return done({});
    case '/callback': // the OAuth provider sends the browser to any worker
      request.session.user = request.session.state === searchParams.get('state') ? 'ada' : 'an attacker';
      delete request.session.state;
      return done({});
    case '/me':
      return done({ user: request.session.user ?? null, state: request.session.state ?? null });
    case '/logout':
      return request.session.destroy(() => done({}));
    default:
      throw new Error(pathname);
  }
}

// Browser keeps one session's cookie.
class Browser {
  async get(worker, path) {
    const response = await fetch(worker.url + path, { headers: this.cookie ? { cookie: this.cookie } : {} });
    const body = await response.text();
    assert.equal(response.status, 200, body);
    this.cookie = response.headers.get('set-cookie')?.split(';')[0] ?? this.cookie;
    return JSON.parse(body);
  }

  id() {
    return decodeURIComponent(this.cookie).match(/=s:([^.]+)\./)[1];
  }
}

async function everything(RESP) {
  const prefix = key(`sess${RESP}:`);
  const workers = await Promise.all(addresses.map((node) => startWorker(node, RESP, prefix)));
  const [a, b, c] = workers;

  const browsers = await spray(60, async (i) => {
    const browser = new Browser();
    const at = (step) => workers[(i + step) % 3];
    await browser.get(at(0), `/login?state=${i}`);
    await browser.get(at(1), `/callback?state=${i}`);
    assert.deepEqual(await browser.get(at(2), '/me'), { user: 'ada', state: null });
    return browser;
  });
  assert.equal(await b.store.length(), 60);
  assert.deepEqual((await c.store.ids()).sort(), browsers.map((browser) => browser.id()).sort());
  assert.deepEqual((await a.store.all()).map(({ user }) => user), browsers.map(() => 'ada'));

  const ttl = await b.client.ttl(prefix + browsers[0].id());
  assert.ok(ttl > 0 && ttl <= 60, `got a TTL of ${ttl} s`);
  await c.client.expire(prefix + browsers[0].id(), 5);
  await browsers[0].get(a, '/me');
  assert.ok(await b.client.ttl(prefix + browsers[0].id()) > 5, 'a session that is read is touched');

  await browsers[0].get(a, '/logout');
  assert.deepEqual(await browsers[0].get(b, '/me'), { user: null, state: null }, 'logged out everywhere');
  await c.store.clear();
  assert.equal(await a.store.length(), 0);
  assert.deepEqual(await browsers[1].get(b, '/me'), { user: null, state: null });

  for (const { client, server } of workers) {
    server.close();
    await client.close();
  }
}

main({
  'connect-redis, RESP2': () => everything(2),
  'connect-redis, RESP3': () => everything(3),
});
