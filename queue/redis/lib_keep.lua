-- What goes: trimming, bytes that nobody needs, forgetting, and what a lane may pin.
-- Needs: base log lanes jobs rows facts. (facts.forget(pos, entry): lib_facts.)
--
-- Everything takes `work`, how many positions it may look at, and returns what is left of that.
local keep = { BATCH = 500 }

-- The positions that a live lane has an exception at or a request for.
function keep.wanted()
    if not lanes.wanted_set then
        local set, first = {}, base.get('first')
        for _, l in ipairs(lanes.low(first - 1)) do
            for _, x in ipairs(l.xlen > 0 and lanes.exceptions(l) or {}) do
                set[x.pos] = true
            end
        end
        for _, l in ipairs(lanes.in_set('asking')) do
            for _, q in ipairs(rows.requests(l, -1)) do
                set[q.pos] = true
            end
        end
        lanes.wanted_set = set
    end
    return lanes.wanted_set
end

-- ---- what one lane may pin

-- The lowest position above `pos`, in the log, that the lane needs; head + 1 when there is none.
function keep.needed_above(l, pos)
    local low = math.max(pos + 1, base.get('first'))
    local out = math.max(lanes.position(l) + 1, low)
    for _, x in ipairs(l.xlen > 0 and lanes.exceptions(l) or {}) do
        if x.pos >= low then
            out = math.min(out, x.pos)
            break
        end
    end
    return math.min(out, base.get('head') + 1)
end

-- The lowest position from which on the log has at most `max` bytes.
local function first_within(low, max)
    local high = base.get('head') + 1
    while low < high do
        local middle = math.floor((low + high) / 2)
        if log.bytes_from(middle) <= max then
            high = middle
        else
            low = middle + 1
        end
    end
    return low
end

-- A lane that pins more than lane_max gives up its oldest.
function keep.fit(l)
    local to, low = 0, keep.needed_above(l, 0)
    while log.bytes_from(low) > base.lane_max do
        if low > lanes.position(l) then
            to = first_within(low, base.lane_max) - 1
            break
        end
        to = low
        low = keep.needed_above(l, to)
    end
    if to > 0 then
        rows.give_up(l, to, rows.LANE_MAX)
    end
end

function keep.fit_lanes()
    if log.bytes_from(base.get('first')) <= base.lane_max then
        return
    end
    local low = first_within(base.get('first'), base.lane_max) -- from there on it is not too much
    for _, l in ipairs(lanes.low(low - 1)) do
        keep.fit(l)
    end
end

-- ---- trimming

-- The lowest position that any lane needs; head + 1: none. A lane with exceptions below the log may
-- need less of it than they say.
local function mark()
    local first, low = base.get('first'), base.get('head') + 1
    for _, l in ipairs(lanes.low(first - 1)) do
        low = math.min(low, keep.needed_above(l, 0))
    end
    local next = redis.call('ZRANGEBYSCORE', base.key('low'), first, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    return next[2] and math.min(low, tonumber(next[2])) or low
end

local function before(pos)
    return pos > base.get('head') and base.get('cum') or log.entry(pos).before
end

-- The positions from … to are finished now.
local function trim_batch(from, to)
    local list, done = {}, {}
    for pos = from, to do
        list[#list + 1] = pos
    end
    local held = redis.call('HMGET', base.key('holds'), unpack(list))
    local failed = redis.call('HMGET', base.key('failedms'), unpack(list))
    local wanted, kept = keep.wanted(), 0
    for i, pos in ipairs(list) do
        if held[i] or wanted[pos] then
            local bytes = log.body(pos)
            log.keep(pos, bytes)
            kept = kept + #bytes
        end
        done[#done + 1] = math.max(tonumber(failed[i] or '0'), base.now_ms())
        done[#done + 1] = struct.pack('>I8', pos)
    end
    redis.call('ZADD', base.key('done'), unpack(done))
    base.add('bytes', kept + log.COST * #list - (before(to + 1) - before(from)))
    base.put('first', to + 1)
end

-- Positions go that no lane needs.
function keep.trim(work)
    local first, stop = base.get('first'), mark()
    if first >= stop then
        return work
    end
    stop = math.min(stop, first + work)
    for from = first, stop - 1, keep.BATCH do
        trim_batch(from, math.min(from + keep.BATCH, stop) - 1)
    end
    lanes.wanted_set = nil
    redis.call('XTRIM', base.key('log'), 'MINID', '=', stop .. '-0')
    return work - (stop - first)
end

-- ---- bytes of trimmed positions

function keep.drop_loose(work)
    local list = redis.call('ZRANGE', base.key('loose'), 0, work - 1)
    for _, at in ipairs(list) do
        local pos = tonumber(at)
        if redis.call('HEXISTS', base.key('holds'), pos) == 0 and not keep.wanted()[pos] then
            log.drop(pos)
        end
        redis.call('ZREM', base.key('loose'), pos)
    end
    return work - #list
end

-- Beyond failed_max the oldest lose their bytes; their rows stay.
function keep.drop_failed(work)
    local skip = 0
    while base.get('kept_bytes') > base.failed_max and work > 0 do
        local at = redis.call('ZRANGE', base.key('keptz'), skip, skip)[1]
        if not at then
            return work
        end
        work = work - 1
        if keep.wanted()[tonumber(at)] then
            skip = skip + 1
        else
            log.drop(tonumber(at))
        end
    end
    return work
end

-- ---- forgetting

local function forget_rows(pos)
    local refs = redis.call('HGET', base.key('refs'), pos)
    for at = 1, refs and #refs or 0, 4 do
        local l = lanes.get(struct.unpack('<I4', refs, at))
        if l then
            rows.forget(l, pos)
        end
    end
    redis.call('HDEL', base.key('refs'), pos)
end

local function forget_runs(from, to)
    for _, l in ipairs(lanes.in_set('running')) do
        rows.forget_range(l, from, to)
    end
end

-- Everything about it but runs of rows.
local function forget_position(pos, member)
    local e = log.entry(pos)
    forget_rows(pos)
    log.drop(pos)
    facts.forget(pos, e)
    redis.call('HDEL', base.key('ids'), e.id)
    for _, name in ipairs({ 'at', 'requeued', 'failedms' }) do
        redis.call('HDEL', base.key(name), pos)
    end
    redis.call('ZREM', base.key('done'), member)
    redis.call('ZREM', base.key('loose'), pos)
    base.add('bytes', -log.COST)
end

-- Forgets the given members of p:done but those that are wanted. Returns how many these are.
local function forget_list(list)
    local from, to, wanted = nil, nil, 0
    for _, member in ipairs(list) do
        local pos = struct.unpack('>I8', member)
        if keep.wanted()[pos] then
            wanted = wanted + 1
        else
            if to and pos ~= to + 1 then
                forget_runs(from, to)
                from = nil
            end
            from, to = from or pos, pos
            forget_position(pos, member)
        end
    end
    if from then
        forget_runs(from, to)
    end
    return wanted
end

-- Ids go together with their rows, retention after they were finished.
function keep.forget_due(work)
    local until_ms, skip = base.now_ms() - base.retention_ms, 0
    while work > 0 do
        local list = redis.call('ZRANGEBYSCORE', base.key('done'), '-inf', until_ms, 'LIMIT', skip,
            math.min(work, keep.BATCH))
        if #list == 0 then
            return work
        end
        skip = skip + forget_list(list)
        work = work - #list
    end
    return work
end

-- Bytes that would be free if all that is finished were forgotten.
local function finished_bytes()
    local sum = log.COST * redis.call('ZCARD', base.key('done')) + base.get('kept_bytes')
    for pos in pairs(keep.wanted()) do
        if redis.call('ZSCORE', base.key('done'), struct.pack('>I8', pos)) then
            sum = sum - log.COST - redis.call('HSTRLEN', base.key('kept'), pos)
        end
    end
    return sum
end

-- Room for `need` more bytes: lanes are made to fit, and the oldest finished ids are forgotten; none
-- when that would not do. True: there is room.
function keep.make_room(need)
    local max = base.max_bytes
    if base.get('bytes') + need <= max then
        return true
    end
    keep.fit_lanes()
    keep.trim(10000)
    keep.drop_loose(10000)
    keep.drop_failed(10000)
    if base.get('bytes') - finished_bytes() + need > max then
        return base.get('bytes') + need <= max
    end
    local skip = 0
    while base.get('bytes') + need > max do
        local list = redis.call('ZRANGE', base.key('done'), skip, skip)
        if #list == 0 then
            break
        end
        skip = skip + forget_list(list)
    end
    return base.get('bytes') + need <= max
end

-- ---- lanes that are forgotten

local function remove_lane(number)
    local l = lanes.get(number)
    lanes.cache[number] = nil
    for _, part in ipairs({ 'v', 'x', 'req', 'rows', 'hist', 'asked' }) do
        redis.call('UNLINK', lanes.key(l, part))
    end
    redis.call('DEL', lanes.key(l))
    for _, name in ipairs({ 'leaving', 'running' }) do
        redis.call('SREM', base.key(name), number)
    end
end

-- Retired lanes leave after retention; what they hold goes step by step.
function keep.drop_retired(work)
    local until_ms = base.now_ms() - base.retention_ms
    for _, number in ipairs(redis.call('ZRANGEBYSCORE', base.key('retired'), '-inf', until_ms)) do
        redis.call('ZREM', base.key('retired'), number)
        redis.call('ZREM', base.key('lanes'), number)
        redis.call('SADD', base.key('leaving'), number)
    end
    lanes.all_list = nil
    for _, at in ipairs(redis.call('SMEMBERS', base.key('leaving'))) do
        local l = lanes.get(tonumber(at))
        work = work - rows.clear(l, math.max(work, 1))
        if l.nrows == 0 then
            remove_lane(l.number)
        end
        if work <= 0 then
            return 0
        end
    end
    return work
end
