-- KEYS lock channel
-- ARGV 30000 client:1 publish
if (redis.call('exists', KEYS[1]) == 0) or (redis.call('hexists', KEYS[1], ARGV[2]) == 1) then
    redis.call('hincrby', KEYS[1], ARGV[2], 1)
    redis.call('pexpire', KEYS[1], ARGV[1])
    redis.call(ARGV[3], KEYS[2], 0)
    return nil
end
return redis.call('pttl', KEYS[1])
