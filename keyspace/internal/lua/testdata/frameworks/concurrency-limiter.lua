-- KEYS name1 name2 name3
-- ARGV name 60 id
-- SETUP SET name1 taken
for index, value in pairs(redis.call('mget', unpack(KEYS))) do
    if not value then
        redis.call('set', KEYS[index], ARGV[3], "EX", ARGV[2])
        return ARGV[1] .. index
    end
end
