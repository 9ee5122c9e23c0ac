-- KEYS queue:delayed queue
-- ARGV 100
-- SETUP ZADD queue:delayed 1 a 2 b 3 c 1000 d
local val = redis.call('zrangebyscore', KEYS[1], '-inf', ARGV[1])
if next(val) ~= nil then
    redis.call('zremrangebyrank', KEYS[1], 0, #val - 1)
    for i = 1, #val, 100 do
        redis.call('rpush', KEYS[2], unpack(val, i, math.min(i + 99, #val)))
    end
end
return val
