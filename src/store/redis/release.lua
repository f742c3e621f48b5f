#!lua flags=allow-oom
-- Ends the lease if it still has this token.
if redis.pcall('GET', KEYS[1]) == ARGV[1] then
    return redis.call('DEL', KEYS[1])
end
return 0
