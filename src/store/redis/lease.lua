#!lua flags=allow-oom
-- Returns the value. Without a value, takes the lease: 1 if this token got it, 0 if another process holds it. The
-- flag allows taking a lease when memory is full: leases are small, and reads must continue. A value of another type
-- counts as missing.
local value = redis.pcall('GET', KEYS[1])
if type(value) == 'string' then
    return value
end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then
    return 1
end
-- If the call is repeated after a lost reply, the caller already has the lease.
if redis.pcall('GET', KEYS[2]) == ARGV[1] then
    return 1
end
return 0
