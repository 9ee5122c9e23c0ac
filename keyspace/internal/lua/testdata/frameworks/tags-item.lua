-- KEYS item
-- SETUP SET item \x9d\x00\x00\x00tail
local v = redis.call('GET', KEYS[1])
local e = redis.pcall('UNLINK', KEYS[1])
if type(e) ~= 'number' then
    redis.call('DEL', KEYS[1])
end
if not v or v:len() <= 2 or v:byte(1) ~= 157 then
    return ''
end
return v:sub(5)
