-- Each line is a script that must end with an error.
local function f() return 1+f() end while true do pcall(f) end
local function f() return 1+f() end return f()
while true do pcall(error) end
while true do pcall(error,'x') end
local function f() return pcall(f) end while true do f() end
while true do end
repeat until false
for i=1,2,0 do end while 1 do end
local x=0 while true do x=x+1 end
local t={} local i=0 while true do i=i+1 t[i]=i end
local t={} local i=0 while true do i=i+1 t['k'..i]=i end
local t={} while true do t={t} end
local t={} while true do t={} end
local f while true do f=function() return f end end
local s='x' while true do s=s..s end
local s='' while true do s=s..'x' end
local s=('x'):rep(20000) return s:find('.-.-.-b')
local s=('x'):rep(20000) return s:match('.-.-.-b')
local s=('x'):rep(20000) return s:gsub('.-.-.-b','')
for w in (('x'):rep(1000000)):gmatch('.-.-y') do end
local s=('x'):rep(1000000) while true do s:find('xxxxxxxxxxxxxxy',1,true) end
local s=('x'):rep(1000000) while true do local a=s:upper() end
local s,u=('x'):rep(1000000),('x'):rep(1000000) while true do local a=s==u end
local s,u=('x'):rep(1000000),('x'):rep(1000000) while true do local a=s<u end
local s=('x'):rep(1000000) while true do string.byte(s,1,7000) end
local t={} for i=1,100000 do t[i]=100000-i end while true do table.sort(t) table.sort(t,function(a,b) return a>b end) end
local t={} for i=1,1000 do t[i]=1 end table.sort(t,function() return true end)
return string.format('%99999d',1)
while true do string.format('%99d%99d%99d%99d',1,2,3,4) end
while true do string.format('%.99f',1/3) end
return unpack({},1,1e8)
local t={} for i=1,7000 do t[i]=i end while true do local a={unpack(t)} end
local t={} for i=1,7000 do t[i]=i end local function f(...) return ... end while true do f(unpack(t)) end
local function f(...) return f(1,...) end f()
while true do pcall(function() while true do end end) end
while true do pcall(string.rep,'x',1e9) end
local t=setmetatable({},{}) getmetatable(t).__index=t return t.x
local a,b={},{} setmetatable(a,{__index=b}) setmetatable(b,{__index=a}) while true do pcall(function() return a.x end) end
local t=setmetatable({},{__index=function(t,k) return t[k+1] end}) return t[1]
local t=setmetatable({},{__newindex=function(t,k,v) t[k+1]=v end}) t[1]=1
local t=setmetatable({},{__call=function(t) return t() end}) return t()
local t=setmetatable({},{__concat=function(a,b) return a..b end}) return t..t
local t=setmetatable({},{__eq=function(a,b) return a==b end}) local m=getmetatable(t) return t==setmetatable({},m)
local t=setmetatable({},{__lt=function(a,b) return a<b end}) return t<t
local t=setmetatable({},{__unm=function(a) return -a end}) return -t
local t t=setmetatable({},{__tostring=function(t) return tostring(t) end}) return tostring(t)
local t={} for i=1,26 do t[2^i]=i end while true do local n=#t end
local t={} for i=1,1000000 do t[i]=i end for i=1,1000000 do t[i]=nil end while true do next(t) end
local t={} local i=0 while true do i=i+1 t[i]=1 t[i]=nil end
local t={} local n=0 while true do n=n+1 t[('a'):rep(100000)..n]=1 end
local t={} local i=0 while true do i=i+1 t[i*4294967296]=1 end
return cjson.decode(('['):rep(1000000))
return cjson.encode(('x'):rep(40000000))
return cjson.encode(('\1'):rep(10000000))
local t={} for i=1,100 do t[i]=('x'):rep(10000) end while true do cjson.encode(t) end
local t={} for i=1,100 do t[i]=('x'):rep(10000) end while true do table.concat(t) end
local t={} t[1]=t return cjson.encode(t)
local t={} for i=1,16 do t={t,t,t,t,t,t,t,t} end return cmsgpack.pack(t)
local t={} for i=1,16 do t={t,t,t,t,t,t,t,t} end return cjson.encode(t)
local t={} for i=1,16 do t={t,t,t,t,t,t,t,t} end return t
local t={'x'} for i=1,30 do t={t,t} end return t
return cmsgpack.unpack(('\145'):rep(1000000))
return cmsgpack.unpack('\221\255\255\255\255')
return struct.unpack(('b'):rep(100000),('x'):rep(200000))
while true do loadstring('return 1') end
return loadstring(('x=1 '):rep(1000000))
return loadstring('return '..('not '):rep(1000000)..'1')
return load(function() return 'x=1 ' end)
while true do math.sin(1e300) end
while true do math.exp(1.5) end
while true do local x=2^1.5 end
while true do tostring({}) end
while true do local s=1.5 ..'' end
while true do redis.pcall('nosuch') end
while true do redis.call('incr',KEYS[1]) end
while true do redis.call('set',KEYS[1],('x'):rep(100000)) end
while true do redis.sha1hex(('x'):rep(1000)) end
local s=('x'):rep(1000000) while true do redis.sha1hex(s) end
return (('x'):rep(1000)):match(('x?'):rep(1000)..('x'):rep(1000)..'y')
return (('x'):rep(100)):match(('(.-)'):rep(30)..'y')
return (('x'):rep(100000)):match(('x?'):rep(100000)..'y')
return (('('):rep(1000000)):find('%b()')
local function f(n) if n>0 then return f(n-1) end end while true do f(10000) end
table.insert({},-2^31,'x')
return ('x'):rep(1e10)
local s=('x'):rep(1e7) return {s,s,s,s,s,s,s,s}
local s=('ab'):rep(100000) while true do s:gsub('a','b') end
local s=('ab'):rep(1000) while true do s:gsub('a',function() return 'x' end) end
while true do xpcall(error,error) end
while true do for k,v in pairs(_G) do end end
while true do setmetatable({},{}) end
while true do coroutine.wrap(function() end) end
