-- KEYS laravel-cache:a laravel-cache:b
-- ARGV laravel%-cache: tags:x tags:y
-- SETUP SET laravel-cache:a 1
-- SETUP ZADD tags:x 1 a 2 b 3 c
local prefix = table.remove(ARGV, 1)
local removed = {}
for i, key in ipairs(KEYS) do
    redis.call('DEL', key)
    for _, tag in ipairs(ARGV) do
        removed[#removed + 1] = redis.call('ZREM', tag, string.gsub(key, prefix, ""))
    end
end
return removed
