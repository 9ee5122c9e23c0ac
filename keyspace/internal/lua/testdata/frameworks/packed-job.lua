-- KEYS job
-- ARGV \x96\x01\xa3abc\x93\x01\x02\x03\x81\xa1a\xc3\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xc0
local all = cmsgpack.unpack(ARGV[1])
redis.call('HMSET', KEYS[1], 'name', all[2], 'data', cjson.encode(all[3]), 'flag', tostring(all[4].a))
return {all[1], redis.call('HMGET', KEYS[1], 'name', 'data', 'flag'), tostring(all[5]), cmsgpack.pack(all[3], all[4])}
