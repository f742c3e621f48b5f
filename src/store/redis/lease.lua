#!lua flags=allow-oom
-- The value, or else the lease: 1 if it is taken with this token, 0 if somebody else holds it. Leases are small, and
-- reading must go on when memory is full. A value of the wrong type is none.
local value = redis.pcall('GET', KEYS[1])
if type(value) == 'string' then
    return value
end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then
    return 1
end
-- Asked again after the reply was lost, the lease is the asker's already.
if redis.pcall('GET', KEYS[2]) == ARGV[1] then
    return 1
end
return 0
