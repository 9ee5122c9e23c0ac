"""redis-py: cache, pipelines, transactions, locks, scans and scripts over the
nodes that REDIS_NODES names (host:port, with commas between), used in turn."""

import itertools
import os
import threading
import time
import uuid

import redis

NODES = [address.rsplit(":", 1) for address in os.environ["REDIS_NODES"].split(",")]
turn = itertools.cycle(NODES)
run = f"redis-py:{uuid.uuid4()}:"


def key(name):
    """Returns a key that no other run uses."""
    return run + name


def connect(**options):
    """Returns a client of the node whose turn it is."""
    host, port = next(turn)
    return redis.Redis(host=host, port=int(port), decode_responses=True, **options)


def same(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


def fails(error, act, *args, **options):
    """Returns the error that the call must raise."""
    try:
        got = act(*args, **options)
    except error as err:
        return str(err)
    raise AssertionError(f"got {got!r}, want {error.__name__}")


def together(count, act):
    """Runs act(i) in so many threads, and raises what one of them raised."""
    raised = []

    def guarded(i):
        try:
            act(i)
        except BaseException as err:
            raised.append(err)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]


a, b, c = connect(), connect(), connect()


def handshake():
    client = connect(client_name="worker", db=5, health_check_interval=1)
    same(client.client_getname(), "worker")
    same(client.ping(), True)
    client.set(key("in db 5"), "x")
    same([a.get(key("in db 5")), client.get(key("in db 5"))], [None, "x"])
    same(client.info("server")["redis_version"], "7.0.15")
    same(redis.Redis.from_url("redis://%s:%s/5" % tuple(next(turn))).get(key("in db 5")), b"x")
    same([entry["name"] for entry in client.client_list() if entry["db"] == "5"], ["worker"])


def cache():
    same(a.set(key("page"), "body", px=60_000), True)
    same(b.get(key("page")), "body")
    assert 0 < c.pttl(key("page")) <= 60_000
    same(a.set(key("page"), "other", nx=True, ex=60), None)
    same(b.set(key("page"), "new", get=True, keepttl=True), "body")
    same(c.getdel(key("page")), "new")
    same(a.get(key("page")), None)
    a.mset({key("x"): 1, key("y"): 2})
    same(b.mget(key("x"), key("none"), key("y")), ["1", None, "2"])
    a.hset(key("user"), mapping={"name": "Ada", "visits": 1})
    same(b.hincrby(key("user"), "visits", 2), 3)
    same(c.hgetall(key("user")), {"name": "Ada", "visits": "3"})
    a.zadd(key("board"), {"one": 1.5, "two": 2})
    same(b.zrange(key("board"), 0, -1, withscores=True), [("one", 1.5), ("two", 2.0)])
    fails(redis.ResponseError, a.lpush, key("x"), "x")


def pipelines():
    with a.pipeline() as pipe:  # MULTI and EXEC
        for i in range(500):
            pipe.set(key(f"p:{i}"), i).incrby(key("sum"), i)
        same(pipe.execute()[-1], sum(range(500)))
    with b.pipeline(transaction=False) as pipe:
        for i in range(500):
            pipe.get(key(f"p:{i}"))
        same(pipe.execute(), [str(i) for i in range(500)])
    with c.pipeline() as pipe:
        pipe.incr(key("p:1")).lpush(key("p:1"), "x").incr(key("p:1"))
        got = pipe.execute(raise_on_error=False)
        same([got[0], type(got[1]), got[2]], [2, redis.ResponseError, 3])


def transactions():
    with a.pipeline() as pipe:
        pipe.watch(key("t"))
        pipe.multi()
        pipe.set(key("t"), "mine")
        b.set(key("t"), "of another")
        fails(redis.WatchError, pipe.execute)
    same(c.get(key("t")), "of another")

    # Twelve workers, four at each node, add one five times each.
    clients = [connect() for _ in range(12)]

    def add(i):
        def step(pipe):
            count = int(pipe.get(key("count")) or 0)
            pipe.multi()
            pipe.set(key("count"), count + 1)

        for _ in range(5):
            clients[i].transaction(step, key("count"))

    together(12, add)
    same(a.get(key("count")), "60")


def locks():
    clients = [connect() for _ in range(12)]
    inside = []

    def add(i):
        for _ in range(5):
            with clients[i].lock(key("lock"), timeout=30, sleep=0.02):
                inside.append(i)
                same(inside, [i])
                count = int(clients[i - 1].get(key("locked")) or 0)
                time.sleep(0.001)
                clients[i - 2].set(key("locked"), count + 1)
                inside.remove(i)

    together(12, add)
    same(a.get(key("locked")), "60")

    mine = a.lock(key("held"), timeout=30, blocking=False)
    other = b.lock(key("held"), timeout=30, blocking=False)
    same([mine.acquire(), other.acquire(), other.locked(), mine.owned()], [True, False, True, True])
    same(mine.extend(30), True)
    assert 30_000 < c.pttl(key("held")) <= 60_000
    same(mine.reacquire(), True)
    assert 0 < c.pttl(key("held")) <= 30_000
    c.delete(key("held"))
    same(other.acquire(), True)
    fails(redis.exceptions.LockNotOwnedError, mine.extend, 30)
    fails(redis.exceptions.LockNotOwnedError, mine.release)
    same(other.owned(), True)
    other.release()
    same(c.exists(key("held")), 0)


def limits():
    """Of 120 requests at all nodes at once, the limit of 5 admits 5."""
    clients = [connect() for _ in range(12)]
    admitted = []

    def request(i):
        for _ in range(10):
            with clients[i].pipeline() as pipe:
                pipe.incr(key("limit")).expire(key("limit"), 60, nx=True)
                if pipe.execute()[0] <= 5:
                    admitted.append(i)

    together(12, request)
    same(len(admitted), 5)
    assert 0 < a.ttl(key("limit")) <= 60


def scans():
    names = sorted(key(f"scan:{i}") for i in range(1000))
    a.mset(dict.fromkeys(names, "x"))
    same(sorted(set(b.scan_iter(match=key("scan:*"), count=100))), names)
    found, cursor = set(), 0
    for client in itertools.cycle([a, b, c]):
        cursor, some = client.scan(cursor, match=key("scan:*"), count=50, _type="string")
        found.update(some)
        if cursor == 0:
            break
    same(sorted(found), names)
    a.sadd(key("set"), *names)
    a.hset(key("hash"), mapping=dict.fromkeys(names, "x"))
    a.zadd(key("zset"), {name: i for i, name in enumerate(names)})
    same(sorted(set(b.sscan_iter(key("set"), count=100))), names)
    same(sorted(dict(c.hscan_iter(key("hash"), count=100))), names)
    same(dict(b.zscan_iter(key("zset"), count=100)), {name: float(i) for i, name in enumerate(names)})


def scripts():
    # The text is new, so that no node knows it before.
    add = a.register_script(f"-- {run}\nreturn {{redis.call('incrby', KEYS[1], ARGV[1]), 'x', false, 3.9}}")
    for i, client in enumerate([a, b, c]):
        same(add(keys=[key("n")], args=[2], client=client), [2 * (i + 1), "x", None, 3])
    same(c.script_exists(add.sha, "0" * 40), [True, False])
    fails(redis.exceptions.NoScriptError, b.evalsha, "0" * 40, 0)
    with b.pipeline() as pipe:
        add(keys=[key("n")], args=[2], client=pipe)
        pipe.get(key("n"))
        same(pipe.execute(), [[8, "x", None, 3], "8"])


def jobs():
    """Workers wait at all nodes; each job is done once."""
    workers, pushers = [connect() for _ in range(6)], [a, b, c]
    done = []

    def act(i):
        if i < len(workers):
            while (job := workers[i].blpop([key("none"), key("jobs")])[1]) != "end":
                done.append(job)
            return
        for n in range(100):
            pushers[i - len(workers)].rpush(key("jobs"), f"{i}:{n}")
        pushed.wait()

    pushed = threading.Barrier(len(pushers), lambda: a.rpush(key("jobs"), *["end"] * len(workers)))
    together(len(workers) + len(pushers), act)
    same(sorted(done), sorted(f"{i}:{n}" for i in range(6, 9) for n in range(100)))
    same(a.brpop(key("jobs"), timeout=1), None)
    a.zadd(key("scores"), {"two": 2, "one": 1})
    same(b.bzpopmin(key("scores"), timeout=5), (key("scores"), "one", 1.0))


def messages():
    """Subscribers at all nodes hear all in one order."""
    listeners = [client.pubsub(ignore_subscribe_messages=True) for client in (a, b, c)]
    for listener in listeners:
        listener.subscribe(key("orders"))
        listener.psubscribe(key("ord*"))
        for _ in range(2):  # until it has subscribed to both
            same(listener.get_message(timeout=10), None)
    together(3, lambda i: [(a, b, c)[i].publish(key("orders"), f"{i}:{n:02}") for n in range(50)])
    heard = []
    for listener in listeners:
        got = {"message": [], "pmessage": []}
        while min(map(len, got.values())) < 150:
            message = listener.get_message(timeout=10)
            assert message, f"nothing for 10 s after {got}"
            got[message["type"]].append(message["data"])
        heard += got.values()
        listener.close()
    for some in heard:
        same(some, heard[0])
    for i in range(3):
        same([m for m in heard[0] if m.startswith(f"{i}:")], [f"{i}:{n:02}" for n in range(50)])


parts = (handshake, cache, pipelines, transactions, locks, limits, scans, scripts, jobs, messages)
for part in parts:
    begin = time.monotonic()
    part()
    print(f"redis-py {redis.__version__}, {part.__name__}: {(time.monotonic() - begin) * 1000:.0f} ms")
