-- KEYS key
-- ARGV 5
-- SETUP SET key 10
local exists = redis.call('EXISTS', KEYS[1])
if exists == 1 then
    return redis.call('INCRBY', KEYS[1], ARGV[1])
end
error('no such key')
