#!lua flags=allow-oom
-- One key: a sorted set of tag hashes, each scored with the number of its last raise, and a header scored +inf,
-- `@<run id>:<epoch>:<base>:<seq>:<time>`. Numbers are below 2^53: as scores and in Lua they are exact.
--
-- Without the flag, invalidations would be refused just when memory is full. It does not say no-writes, so that a
-- replica refuses: what is asked there may be behind.
local key = KEYS[1]
local fresh, limit, channel = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local known_epoch, known_seq = ARGV[4], tonumber(ARGV[5])
local FIRST = 6
-- How many floors one answer tells, and as many more as were raised together with the last of them: few enough for a
-- node that is behind by all of them to hear of some within its patience.
local PAGE = 1024

local function number(value)
    return string.format('%.0f', value)
end

-- The 48 bits of an epoch above its random ones.
local function generation(epoch)
    return tonumber(string.sub(epoch, 1, 12), 16)
end

local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if not run then
    return redis.error_reply('NORUNID the server does not tell its run_id, by which a restart is known')
end
-- And by which history: a server that followed another one has that one's data, without having been restarted.
run = run .. (string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or '')
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local headers = redis.call('ZRANGEBYSCORE', key, '+inf', '+inf')
local header = headers[1]
local epoch, base, seq, last
if #headers == 1 then
    local by
    by, epoch, base, seq, last = string.match(header, '^@(%x+):(%x+):(%d+):(%d+):(%d+)$')
    -- Another run may have lost what this one's clients knew: a restart, a failover, a slot that moved.
    if by ~= run or #epoch ~= 32 then
        epoch = nil
    end
end

local changed = false
if epoch then
    base, seq, last = tonumber(base), tonumber(seq), tonumber(last)
    -- The clock was set back: entries would live longer by as much.
    if last > now then
        epoch = nil
    elseif known_epoch == epoch then
        -- Numbers that went back (a key that was restored): what they stood for since is lost.
        if known_seq > seq then
            epoch = nil
        end
    -- The asker is in a later epoch, and may have told that one what this one never heard of.
    elseif generation(epoch) <= generation(known_epoch) then
        epoch = nil
    end
end
if not epoch then
    redis.call('DEL', key)
    header, epoch, base, seq, changed = nil, fresh, 0, 0, true
elseif now - last >= 1000000 then
    -- By so much a clock may be set back unnoticed.
    changed = true
end

if #ARGV >= FIRST then
    seq, changed = seq + 1, true
    -- A call takes only so many arguments.
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
    -- Only a hint: who may not publish has still invalidated, and the others ask again soon.
    redis.pcall('PUBLISH', channel, number(seq))
end

local from = '-inf'
if known_epoch == epoch and known_seq >= base then
    from = '(' .. number(known_seq)
end
local told, floors = seq, redis.call('ZRANGEBYSCORE', key, from, '(+inf', 'WITHSCORES', 'LIMIT', 0, PAGE)
if #floors == 2 * PAGE then
    -- A page, up to a number, and with all that have this number.
    told = tonumber(floors[#floors])
    floors = redis.call('ZRANGEBYSCORE', key, from, number(told), 'WITHSCORES')
end
return { epoch, number(told), number(seq), number(base), number(now), floors }
