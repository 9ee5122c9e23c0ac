-- KEYS lock
-- ARGV token 300000
-- A lock as Symfony keeps it: holders in a sorted set, scored by their end.
if redis.call("TYPE", KEYS[1]).ok == "string" then
    return false
end
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call("ZREMRANGEBYSCORE", KEYS[1], "-inf", now)
if redis.call("ZSCORE", KEYS[1], ARGV[1]) then
    if redis.call("ZCOUNT", KEYS[1], "-inf", "+inf") > 1 then
        return false
    end
elseif redis.call("ZCOUNT", KEYS[1], "-inf", "+inf") > 0 then
    return false
end
redis.call("ZADD", KEYS[1], now + ARGV[2], ARGV[1])
redis.call("ZADD", KEYS[1], now + ARGV[2], "__write__")
local last = redis.call("ZREVRANGE", KEYS[1], 0, 0, "WITHSCORES")[2]
redis.call("PEXPIREAT", KEYS[1], last)
return true
