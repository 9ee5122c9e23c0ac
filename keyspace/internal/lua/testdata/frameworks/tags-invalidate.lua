-- KEYS tag
-- ARGV prefix:
-- SETUP SADD tag a b c d e f g
-- SETUP SET prefix:a 1
redis.replicate_commands()
local cursor, id = '0', KEYS[1]
repeat
    local result = redis.call('SSCAN', id, cursor, 'COUNT', 5000)
    cursor = result[1]
    local rems = {}
    for _, v in ipairs(result[2]) do
        local ok = pcall(redis.call, 'DEL', ARGV[1] .. v)
        if ok then
            table.insert(rems, v)
        end
    end
    if 0 < #rems then
        redis.call('SREM', id, unpack(rems))
    end
until '0' == cursor
redis.call('SUNIONSTORE', '{' .. id .. '}' .. id, id)
redis.call('DEL', id)
return redis.call('SSCAN', '{' .. id .. '}' .. id, '0', 'COUNT', 5000)
