-- KEYS lock
-- ARGV token
-- SETUP ZADD lock 1761234567890 token 1761234567890 __write__ 1861234567890 other
if redis.call("TYPE", KEYS[1]).ok == "string" then
    return false
end
if not redis.call("ZSCORE", KEYS[1], ARGV[1]) then
    return false
end
redis.call("ZREM", KEYS[1], ARGV[1])
redis.call("ZREM", KEYS[1], "__write__")
local last = redis.call("ZREVRANGE", KEYS[1], 0, 0, "WITHSCORES")[2]
if nil ~= last then
    redis.call("PEXPIREAT", KEYS[1], last)
end
return {true, last, redis.call("PEXPIRETIME", KEYS[1])}
