//go:build linux

package main

import (
	"crypto/sha1"
	"fmt"
)

// Scripts in the manner of frameworks': they call what those call, with the
// same arguments.

// lockSave is how Symfony's Lock takes a lock for writing: the holders are in a
// sorted set, scored by their end. It gets the caller's time and does not look
// at it.
const lockSave = `
local token, ttl = ARGV[2], tonumber(ARGV[3])
if redis.call("TYPE", KEYS[1]).ok == "string" then
    return false
end
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call("ZREMRANGEBYSCORE", KEYS[1], "-inf", now)
if redis.call("ZSCORE", KEYS[1], token) then
    local isWriter = redis.call("ZSCORE", KEYS[1], "__write__")
    if not isWriter and redis.call("ZCOUNT", KEYS[1], "-inf", "+inf") > 1 then
        return false
    end
elseif redis.call("ZCOUNT", KEYS[1], "-inf", "+inf") > 0 then
    return false
end
redis.call("ZADD", KEYS[1], now + ttl, token)
redis.call("ZADD", KEYS[1], now + ttl, "__write__")
local last = redis.call("ZREVRANGE", KEYS[1], 0, 0, "WITHSCORES")[2]
redis.call("PEXPIREAT", KEYS[1], last)
return true
`

// lockDelete is how it gives the lock back.
const lockDelete = `
local token = ARGV[1]
if redis.call("TYPE", KEYS[1]).ok == "string" then
    return false
end
if not redis.call("ZSCORE", KEYS[1], token) then
    return false
end
redis.call("ZREM", KEYS[1], token)
redis.call("ZREM", KEYS[1], "__write__")
local last = redis.call("ZREVRANGE", KEYS[1], 0, 0, "WITHSCORES")[2]
if nil ~= last then
    redis.call("PEXPIREAT", KEYS[1], last)
end
return true
`

// throttle is how Laravel's Redis::throttle counts calls in a window. It takes
// the time from the caller, as text.
const throttle = `
local function begin()
    redis.call('HMSET', KEYS[1], 'start', ARGV[2], 'end', ARGV[2] + ARGV[3], 'count', 1)
    return redis.call('EXPIRE', KEYS[1], ARGV[3] * 2)
end
if redis.call('EXISTS', KEYS[1]) == 0 then
    return {begin(), ARGV[2] + ARGV[3], ARGV[4] - 1}
end
if ARGV[1] >= redis.call('HGET', KEYS[1], 'start') and ARGV[1] <= redis.call('HGET', KEYS[1], 'end') then
    return {
        tonumber(redis.call('HINCRBY', KEYS[1], 'count', 1)) <= tonumber(ARGV[4]),
        redis.call('HGET', KEYS[1], 'end'),
        ARGV[4] - redis.call('HGET', KEYS[1], 'count')
    }
end
return {begin(), ARGV[2] + ARGV[3], ARGV[4] - 1}
`

// The time of all calls of scripts, in PHP's notation: no window ends, so that
// every call but a window's first does the same.
const (
	callTime      = "1767225600"
	callMicrotime = "1767225600.1234"
)

// lockToken is a holder's, which is the only one of its lock.
const lockToken = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

// lockByScript is LOCK as Symfony does it, with the scripts' hashes and a time
// to live of 300 s.
func lockByScript(string) []command {
	return []command{
		{args: []string{"EVALSHA", hash(lockSave), "1", "purge:" + digits, callMicrotime, lockToken, "300000"}, reply: ":1\r\n"},
		{args: []string{"EVALSHA", hash(lockDelete), "1", "purge:" + digits, lockToken}, reply: ":1\r\n"},
	}
}

// hash returns the name of a script that was loaded.
func hash(script string) string { return fmt.Sprintf("%x", sha1.Sum([]byte(script))) }
