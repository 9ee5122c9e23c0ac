-- KEYS gcra
-- ARGV 10 5 60 1
redis.replicate_commands()
local burst, rate, period, cost = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local interval = period / rate
local increment = interval * cost
local offset = interval * burst
local now = redis.call("TIME")
now = (now[1] - 1483228800) + (now[2] / 1000000)
local tat = redis.call("GET", KEYS[1])
if not tat then tat = now else tat = tonumber(tat) end
tat = math.max(tat, now)
local new = tat + increment
local diff = now - (new - offset)
local remaining = diff / interval
if remaining < 0 then
    return {0, 0, tostring(increment), tostring(math.ceil(remaining))}
end
if new - now > 0 then
    redis.call("SET", KEYS[1], new, "EX", math.ceil(new - now))
end
return {cost, math.floor(remaining + 0.5), tostring(-1), tostring(interval / 7)}
