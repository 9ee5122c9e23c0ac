'use strict';
// The nodes that REDIS_NODES names (host:port, with commas between), used in
// turn, as a balancer in front of them uses them; and what the scripts share.

const addresses = process.env.REDIS_NODES.split(',').map((address) => {
  const [host, port] = address.split(':');
  return { host, port: Number(port), url: `redis://${address}` };
});

let taken = 0;

// next returns the node whose turn it is.
function next() {
  return addresses[taken++ % addresses.length];
}

// key returns a key that no other run uses.
const prefix = `node:${process.pid}:${Date.now()}`;
function key(name) {
  return `${prefix}:${name}`;
}

// spray runs count calls of act at once and returns what came of each.
function spray(count, act) {
  return Promise.all(Array.from({ length: count }, (_, i) => act(i)));
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

// eventually waits until check returns something true, 10 s at most.
async function eventually(what, check) {
  for (const end = Date.now() + 10_000; Date.now() < end; await sleep(5)) {
    if (await check()) {
      return;
    }
  }
  throw new Error(`not within 10 s: ${what}`);
}

// main runs the parts one after the other and says what was shown. A failure
// ends the process, whatever connections are open, and so does a part that
// takes over a minute.
async function main(parts) {
  try {
    for (const [what, part] of Object.entries(parts)) {
      const begin = Date.now();
      const limit = setTimeout(() => {
        console.error(`${what}: not within a minute`);
        process.exit(1);
      }, 60_000);
      await part();
      clearTimeout(limit);
      console.log(`${what}: ${Date.now() - begin} ms`);
    }
    process.exit(0);
  } catch (err) {
    console.error(err);
    process.exit(1);
  }
}

module.exports = { addresses, next, key, spray, sleep, eventually, main };
