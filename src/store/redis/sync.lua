#!lua flags=allow-oom
-- The key is a sorted set. Its members are tag hashes, each scored with the number of its last invalidation, and a
-- header scored +inf: `@<run id>:<epoch>:<base>:<seq>:<time>`. Numbers are below 2^53, so they are exact as scores and
-- in Lua.
--
-- The flag allows invalidations when memory is full. There is no flag `no-writes`, so that a replica refuses the
-- script: its data may be outdated.
local key = KEYS[1]
local fresh, limit, channel = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local known_epoch, known_seq = ARGV[4], tonumber(ARGV[5])
local FIRST = 6
-- The floors per reply, plus those that have the number of the last one. A page is small enough to be transferred
-- within the budget of a node that is behind by all of them.
local PAGE = 1024

local function number(value)
    return string.format('%.0f', value)
end

-- The 48 bits of an epoch above the random ones.
local function generation(epoch)
    return tonumber(string.sub(epoch, 1, 12), 16)
end

local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if not run then
    return redis.error_reply('NORUNID the server does not tell its run_id, by which a restart is known')
end
-- The replication id as well: a server that replicated another one has its data without having been restarted.
run = run .. (string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or '')
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local headers = redis.call('ZRANGEBYSCORE', key, '+inf', '+inf')
local header = headers[1]
local epoch, base, seq, last
if #headers == 1 then
    local by
    by, epoch, base, seq, last = string.match(header, '^@(%x+):(%x+):(%d+):(%d+):(%d+)$')
    -- The data is of another run and may miss invalidations: a restart, a failover, a moved slot.
    if by ~= run or #epoch ~= 32 then
        epoch = nil
    end
end

local changed = false
if epoch then
    base, seq, last = tonumber(base), tonumber(seq), tonumber(last)
    -- The clock was set back: entries would live longer by the difference.
    if last > now then
        epoch = nil
    elseif known_epoch == epoch then
        -- The numbers went back (the key was restored): later invalidations are lost.
        if known_seq > seq then
            epoch = nil
        end
    -- The node is in a later epoch, and may have raised floors in it that are missing here.
    elseif generation(epoch) <= generation(known_epoch) then
        epoch = nil
    end
end
if not epoch then
    redis.call('DEL', key)
    header, epoch, base, seq, changed = nil, fresh, 0, 0, true
elseif now - last >= 1000000 then
    -- The clock may be set back by up to this second without being noticed.
    changed = true
end

if #ARGV >= FIRST then
    seq, changed = seq + 1, true
    -- A call has a maximum number of arguments.
    for from = FIRST, #ARGV, 1000 do
        local members = {}
        for index = from, math.min(from + 999, #ARGV) do
            members[#members + 1] = number(seq)
            members[#members + 1] = ARGV[index]
        end
        redis.call('ZADD', key, unpack(members))
    end
    local excess = redis.call('ZCARD', key) - (header and 1 or 0) - limit
    if excess > 0 then
        base = tonumber(redis.call('ZRANGE', key, excess - 1, excess - 1, 'WITHSCORES')[2])
        redis.call('ZREMRANGEBYSCORE', key, '-inf', number(base))
    end
end

if changed then
    if header then
        redis.call('ZREM', key, header)
    end
    header = '@' .. run .. ':' .. epoch .. ':' .. number(base) .. ':' .. number(seq) .. ':' .. number(now)
    redis.call('ZADD', key, '+inf', header)
end
if #ARGV >= FIRST then
    -- A notification is optional: if this user may not publish, the other nodes sync at their interval.
    redis.pcall('PUBLISH', channel, number(seq))
end

local from = '-inf'
if known_epoch == epoch and known_seq >= base then
    from = '(' .. number(known_seq)
end
local told, floors = seq, redis.call('ZRANGEBYSCORE', key, from, '(+inf', 'WITHSCORES', 'LIMIT', 0, PAGE)
if #floors == 2 * PAGE then
    -- A page ends with all floors that have the number of its last one.
    told = tonumber(floors[#floors])
    floors = redis.call('ZRANGEBYSCORE', key, from, number(told), 'WITHSCORES')
end
return { epoch, number(told), number(seq), number(base), number(now), floors }
