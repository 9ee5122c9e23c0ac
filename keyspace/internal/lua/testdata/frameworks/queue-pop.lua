-- KEYS queue queue:reserved queue:notify
-- ARGV 1735689600
-- SETUP RPUSH queue {"id":"abc","displayName":"App\\\\Job","attempts":0,"data":{"list":[1,2,3],"empty":{}}}
local job = redis.call('lpop', KEYS[1])
local reserved = false
if job ~= false then
    reserved = cjson.decode(job)
    reserved['attempts'] = reserved['attempts'] + 1
    reserved = cjson.encode(reserved)
    redis.call('zadd', KEYS[2], ARGV[1], reserved)
    redis.call('lpop', KEYS[3])
end
return {job, reserved}
