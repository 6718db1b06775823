#!lua flags=allow-oom
-- needs: base log lanes jobs rows beat
-- commit: all changed lanes of a publisher. Of each lane first everything that can be wrong with its
-- commit, then what it changes. Only the epoch says who may commit; only the sequence number
-- says whether it was seen.
local DONE, REPEATED, STALE, INVALID = 0, 1, 2, 3
local LANES_MAX, EXCEPTIONS_MAX, ROWS_MAX, PATHS_MAX = 16384, 1024, 65536, 8
local ROUTES, FAMILIES, NUMBER_MAX = 2, 4, 2 ^ 53
local PATH, PATH_SIZE = '<BBI8I8I8I8I8I8i8i8', 66
-- The classes of an ending: from, to.
local FITS = { [0] = { 1, 7 }, { 8, 16 }, { 17, 20 }, { 0, 20 } }

-- ---- reading

local function count(u, max)
    local n = wire.u32(u)
    if n > max then
        u.bad = true
        return 0
    end
    return n
end

local function read_exceptions(u, c)
    c.list, c.listed = {}, {}
    local len = count(u, EXCEPTIONS_MAX)
    local raw = wire.raw(u, len * lanes.X_SIZE)
    for i = 1, u.bad and 0 or len do
        local x = {}
        x.pos, x.attempts, x.flags, x.not_before = struct.unpack(lanes.X, raw, (i - 1) * lanes.X_SIZE + 1)
        c.list[i] = x
        c.listed[x.pos] = true
    end
end

local function read_rows(u, c)
    c.added, c.replaced, c.removed = {}, {}, {}
    for i = 1, count(u, ROWS_MAX) do
        if u.bad then
            return
        end
        c.added[i] = rows.read(u)
        c.replaced[c.added[i].from] = true
    end
    for i = 1, count(u, ROWS_MAX) do
        c.removed[i] = wire.u64(u)
        if u.bad then
            return
        end
    end
end

local function read_paths(u, c)
    c.paths = {}
    local len = count(u, PATHS_MAX)
    local raw = wire.raw(u, len * PATH_SIZE)
    for i = 1, u.bad and 0 or len do
        c.paths[i] = { struct.unpack(PATH, raw, (i - 1) * PATH_SIZE + 1) }
    end
end

local function read_commit(u)
    local c = { lane = wire.u32(u), epoch = wire.u64(u), seq = wire.u64(u), position = wire.u64(u),
        floor = wire.u64(u) }
    read_exceptions(u, c)
    read_rows(u, c)
    c.taken, c.version, c.stalls, c.delivered = wire.u64(u), wire.u32(u), wire.u32(u), wire.u64(u)
    c.learned = wire.raw(u, #lanes.NOTHING_LEARNED)
    read_paths(u, c)
    return c
end

-- ---- what can be wrong

local function rows_good(l, c)
    for _, r in ipairs(c.added) do
        local fit = FITS[r.ending]
        if r.from ~= r.to or r.from <= l.start or r.from > c.position or not fit or r.cls < fit[1]
            or r.cls > fit[2] or r.route >= ROUTES or r.family >= FAMILIES then
            return false
        end
    end
    return true
end

local function paths_good(c)
    for _, p in ipairs(c.paths) do
        if p[1] >= ROUTES or p[2] >= FAMILIES then
            return false
        end
        for i = 3, 10 do
            if p[i] >= NUMBER_MAX then
                return false
            end
        end
    end
    return c.delivered < NUMBER_MAX and string.byte(c.learned, 9) < FAMILIES
end

local function requested(l, c, pos)
    local number = c.taken > 0 and rows.request(l, pos)
    return number and number <= c.taken
end

-- The owner may know `pos`, which is not above its last position, as an exception.
local function exception_known(l, c, pos)
    return lanes.exception(l, pos) or requested(l, c, pos)
end

-- One that is not known may have been: the queue gave it up, or the request for it ended (its row is
-- still there, or all of it is forgotten), and the owner has not heard. Then it is left out later.
-- But what arrived does not come back.
local function exceptions_good(l, c)
    local above = l.start
    for _, x in ipairs(c.list) do
        local pos = x.pos
        if pos <= above or pos > c.position then
            return false
        end
        above = pos
        if pos <= l.position and pos > l.floor and not exception_known(l, c, pos) and not rows.find(l, pos)
            and log.known(pos) then
            return false
        end
    end
    return true
end

local function version_good(l, c)
    return c.version == l.def_version or (c.version > l.def_version and c.version <= l.new_version
        and redis.call('HEXISTS', lanes.key(l, 'v'), c.version) == 1)
end

local function judge(l, c)
    if not l or l.retired == 1 or c.epoch == 0 or c.epoch ~= l.epoch then
        return STALE
    end
    if c.seq >= 1 and c.seq <= l.seq then
        return REPEATED
    end
    local good = c.seq == l.seq + 1 and c.position >= l.position and c.position <= base.get('head')
        and c.taken <= l.last_request and rows_good(l, c) and paths_good(c) and version_good(l, c)
        and exceptions_good(l, c)
    return good and DONE or INVALID
end

-- ---- what it changes

local function progresses(l, c)
    if c.position > l.position then
        return true
    end
    for _, x in ipairs(l.xlen > 0 and lanes.exceptions(l) or {}) do
        if not c.listed[x.pos] then
            return true
        end
    end
    return false
end

-- A later version takes force above the commit's position; what waited before it never will.
local function take_version(l, c)
    if c.version == l.def_version then
        return
    end
    for _, v in ipairs(lanes.versions(l)) do
        if v.version > l.def_version and v.version < c.version then
            redis.call('HDEL', lanes.key(l, 'v'), v.version)
        elseif v.version == c.version then
            redis.call('HSET', lanes.key(l, 'v'), v.version, struct.pack('<I8', c.position) .. v.packed)
            lanes.set(l, 'def', v.packed)
        end
    end
    lanes.set(l, 'def_version', c.version)
end

-- What was given up above the floor that the owner knows, and the owner settled not knowing of it,
-- was settled. Up to the floor it knows the owner's position says nothing: it only followed the
-- floor there. True: there may have been such.
local function merge_settled(l, c)
    local from, to = math.max(c.floor, l.position) + 1, math.min(c.position, l.floor)
    if from > to then
        return false
    end
    local but = {}
    for _, set in ipairs({ c.listed, c.replaced }) do
        for pos in pairs(set) do
            but[pos] = true
        end
    end
    rows.deliver(l, from, to, but)
    return true
end

-- Returns what may be out of its replay job now: exceptions that were, and requests taken up.
local function take_exceptions(l, c)
    local candidates, list, position = {}, {}, lanes.position(l)
    local before = l.xlen > 0 and lanes.exceptions(l) or {}
    for _, x in ipairs(c.list) do
        if x.pos > position or exception_known(l, c, x.pos) then
            list[#list + 1] = x
        end
    end
    for _, x in ipairs(l.jobbed > 0 and before or {}) do
        candidates[#candidates + 1] = x.pos
    end
    if #before > 0 or #list > 0 then
        lanes.put_exceptions(l, list)
    end
    local taken = c.taken > 0 and l.reqs > 0
        and redis.call('ZRANGEBYSCORE', lanes.key(l, 'req'), '-inf', c.taken) or {}
    for _, at in ipairs(taken) do
        local pos = tonumber(at)
        rows.unask(l, pos)
        candidates[#candidates + 1] = pos
    end
    return candidates
end

local function remove_row(l, c, pos)
    if not c.replaced[pos] then
        rows.remember(l, pos)
        rows.drop(l, pos, jobs.DELIVERED)
    end
end

local function add_row(l, r)
    if not log.known(r.from) then
        return -- rows go with their ids
    end
    r.last = math.min(r.last, base.now_ms())
    rows.remember(l, r.from)
    rows.put(l, r)
    if r.ending == rows.FAILED then
        rows.note_failure(r.from, r.last)
    end
end

-- What was asked for again has arrived meanwhile: the request goes with the row it was about.
local function drop_void_requests(l, c, merged)
    if l.reqs == 0 then
        return
    end
    if merged then
        rows.drop_void_requests(l)
        return
    end
    for _, pos in ipairs(c.removed) do
        if rows.request(l, pos) and not rows.find(l, pos) then
            rows.unask(l, pos)
        end
    end
end

local function leave_jobs(l, candidates)
    for i = 1, l.jobbed > 0 and #candidates or 0 do
        local pos = candidates[i]
        local r = rows.find(l, pos)
        if r and r.job ~= 0 and r.asked == 1 and not lanes.exception(l, pos) and not rows.request(l, pos) then
            rows.settle(l, r, jobs.DROPPED)
        end
    end
end

local function add_paths(l, c)
    if #c.paths == 0 then
        return
    end
    local all, by, out = {}, {}, {}
    for at = 1, #l.paths, PATH_SIZE do
        local p = { struct.unpack(PATH, l.paths, at) }
        all[#all + 1] = p
        by[p[1] * FAMILIES + p[2]] = p
    end
    for _, d in ipairs(c.paths) do
        local p = by[d[1] * FAMILIES + d[2]]
        if not p then
            p = { d[1], d[2], 0, 0, 0, 0, 0, 0, 0, 0 }
            all[#all + 1] = p
            by[d[1] * FAMILIES + d[2]] = p
        end
        for i = 3, 8 do
            p[i] = p[i] + d[i]
        end
        p[9], p[10] = math.max(p[9], d[9]), math.max(p[10], d[10])
    end
    for i, p in ipairs(all) do
        out[i] = struct.pack(PATH, unpack(p, 1, 10))
    end
    lanes.set(l, 'paths', table.concat(out))
end

local function apply(l, c)
    if l.progress == 0 and progresses(l, c) then
        lanes.set(l, 'progress', 1)
    end
    take_version(l, c)
    local merged = merge_settled(l, c)
    local candidates = take_exceptions(l, c)
    for _, pos in ipairs(c.removed) do
        remove_row(l, c, pos)
    end
    for _, r in ipairs(c.added) do
        add_row(l, r)
    end
    drop_void_requests(l, c, merged)
    leave_jobs(l, candidates)
    add_paths(l, c)
    if c.position > l.position then
        lanes.set(l, 'position', c.position)
    end
    lanes.set(l, 'seq', c.seq)
    if c.stalls ~= l.stalls then
        lanes.set(l, 'stalls', c.stalls)
    end
    if c.delivered > 0 then
        lanes.add(l, 'delivered', c.delivered)
    end
    if c.learned ~= l.learned then
        lanes.set(l, 'learned', c.learned)
    end
    base.add('moved', 1)
    if c.taken > 0 and base.get('requests_full') == 1 then -- there is room for more in an answer
        base.put('requests_full', 0)
        base.add('news', 1)
    end
end

-- ---- the call

local refused = base.begin()
if refused then
    return refused
end
local u = base.request()
local list, out = {}, {}
for i = 1, count(u, LANES_MAX) do
    if not u.bad then
        list[i] = read_commit(u)
    end
end
if wire.is_bad(u) then
    return base.refuse(base.INVALID)
end
out[1] = struct.pack('<I4', #list)
local function commit(c)
    local l = lanes.get(c.lane)
    local status = judge(l, c)
    if status == DONE then
        apply(l, c)
    end
    return status, status == STALE and 0 or lanes.position(l)
end

-- A heartbeat's: its position is its number, and whoever is first takes it.
local function commit_beat(c)
    if c.position > base.get('beat') then
        return INVALID, base.get('beat_taken')
    end
    return beat.take(c.position) and DONE or REPEATED, base.get('beat_taken')
end

for i, c in ipairs(list) do
    local status, position = (c.lane == beat.LANE and commit_beat or commit)(c)
    out[i + 1] = struct.pack('<I4BI8', c.lane, status, position)
end
base.finish()
return base.reply(table.concat(out))
