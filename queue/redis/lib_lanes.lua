-- Lanes. Needs: base.
--
-- A lane is a table: its number, and the fields of its hash; those below are numbers (0 when
-- missing), all others strings ('' when missing). Change with lanes.set; base.finish saves.
--   retired retired_ms start position floor epoch seq progress stalls hold(0 defined, 1 held, 2 released)
--   last_request delivered
--   failed skipped expired: events covered by such rows; nrows: rows; runs: rows of several positions
--   xlen xlow: how many exceptions, the lowest; reqs: requests that wait; jobbed: asked rows of jobs
--   def_version new_version: in force; the newest (larger: it waits)
--   url: of the newest definition; def new: packed definitions (definition_pack)
--   learned: 25 bytes as on the wire; paths: as on the wire, without count. Who holds it: lib_leases
-- p:lane:<n>:v  version -> '<I8' from, packed definition: those that hold or held, and those that wait
-- p:lane:<n>:x  the exceptions as on the wire: '<I8I4I4i8' each, ascending
local lanes = { cache = {}, X = '<I8I4I4i8', X_SIZE = 24, NOTHING_LEARNED = string.rep('\0', 25) }

local lane_numbers = {}
for name in string.gmatch('retired retired_ms start position floor epoch seq progress stalls hold ' ..
    'last_request delivered failed skipped expired nrows runs xlen xlow reqs jobbed ' ..
    'def_version new_version', '%S+') do
    lane_numbers[name] = true
end

local lane_missing = { __index = function(_, field) return lane_numbers[field] and 0 or
    (field ~= 'exceptions' and field ~= 'at_x' and '' or nil) end }

function lanes.key(l, part)
    return base.p .. ':lane:' .. l.number .. (part and ':' .. part or '')
end

-- nil: there is no such lane.
function lanes.get(number)
    local l = lanes.cache[number]
    if l then
        return l
    end
    local flat = redis.call('HGETALL', base.p .. ':lane:' .. number)
    if #flat == 0 then
        return nil
    end
    l = setmetatable({ number = number, dirty = {} }, lane_missing)
    for i = 1, #flat, 2 do
        l[flat[i]] = lane_numbers[flat[i]] and tonumber(flat[i + 1]) or flat[i + 1]
    end
    lanes.cache[number] = l
    return l
end

lanes.set, lanes.add = record.set, record.add

-- A consumer group a lane, named by its number and URL, stands where the lane does, so that XINFO
-- GROUPS shows how far it lags. Nobody reads through it.
local function mirror(l)
    local key, name, at = base.key('log'), l.number .. ' ' .. l.url, lanes.position(l)
    if l.retired == 1 then
        redis.pcall('XGROUP', 'DESTROY', key, name)
        return
    end
    local moved = redis.pcall('XGROUP', 'SETID', key, name, at .. '-0', 'ENTRIESREAD', at)
    if type(moved) == 'table' and moved.err then -- no such group yet, or no log
        redis.call('XGROUP', 'CREATE', key, name, at .. '-0', 'MKSTREAM', 'ENTRIESREAD', at)
    end
end

-- What finds lanes without reading them all. p:low: those that are not retired, by the lowest position
-- they need; p:asking: those with requests; p:running: those with runs.
local function index(l)
    if l.retired == 1 then
        redis.call('ZREM', base.key('low'), l.number)
    elseif l.dirty.position or l.dirty.floor or l.dirty.xlow then
        local next = lanes.position(l) + 1
        redis.call('ZADD', base.key('low'), l.xlen > 0 and math.min(l.xlow, next) or next, l.number)
    end
    if l.dirty.reqs then
        redis.call(l.reqs > 0 and 'SADD' or 'SREM', base.key('asking'), l.number)
    end
    if l.dirty.runs then
        redis.call(l.runs > 0 and 'SADD' or 'SREM', base.key('running'), l.number)
    end
end

function lanes.save()
    for _, l in pairs(lanes.cache) do
        if record.write(lanes.key(l), l) then
            index(l)
        end
        if l.dirty.position or l.dirty.floor or l.dirty.retired then
            mirror(l)
        end
        l.dirty = {}
    end
end
base.savers[#base.savers + 1] = lanes.save

-- A new lane that begins above `start`, with its first definition (packed). Returns it.
function lanes.make(url, packed, start)
    base.add('lanes_made', 1)
    local number = base.get('lanes_made')
    local l = setmetatable({ number = number, dirty = {} }, lane_missing)
    lanes.cache[number] = l
    lanes.set(l, 'start', start)
    lanes.set(l, 'position', start)
    lanes.set(l, 'url', url)
    lanes.set(l, 'learned', lanes.NOTHING_LEARNED)
    lanes.set(l, 'def', packed)
    lanes.set(l, 'def_version', 1)
    lanes.set(l, 'new', packed)
    lanes.set(l, 'new_version', 1)
    redis.call('HSET', lanes.key(l, 'v'), 1, struct.pack('<I8', start) .. packed)
    redis.call('ZADD', base.key('lanes'), number, number)
    redis.call('ZADD', base.key('live'), number, number)
    lanes.live_list, lanes.all_list = nil, nil
    return l
end

local function listed(name)
    local out = redis.call('ZRANGE', base.key(name), 0, -1)
    for i = 1, #out do
        out[i] = lanes.get(tonumber(out[i]))
    end
    return out
end

-- All lanes, ascending; those that are not retired.
function lanes.all()
    lanes.all_list = lanes.all_list or listed('lanes')
    return lanes.all_list
end
function lanes.live()
    lanes.live_list = lanes.live_list or listed('live')
    return lanes.live_list
end
-- Those whose lowest needed position is at most `pos`, by that position.
function lanes.low(pos)
    lanes.save()
    local out = redis.call('ZRANGEBYSCORE', base.key('low'), '-inf', pos)
    for i = 1, #out do
        out[i] = lanes.get(tonumber(out[i]))
    end
    return out
end
-- Those with requests (asking), or with runs (running), in no order.
function lanes.in_set(name)
    lanes.save()
    local out = redis.call('SMEMBERS', base.key(name))
    for i = 1, #out do
        out[i] = lanes.get(tonumber(out[i]))
    end
    return out
end
-- The live lane of a URL; nil.
function lanes.of_url(url)
    for _, l in ipairs(lanes.live()) do
        if l.url == url then
            return l
        end
    end
    return nil
end

-- The effective position.
function lanes.position(l)
    return math.max(l.position, l.floor)
end
function lanes.depth(l)
    return l.retired == 1 and 0 or base.get('head') - lanes.position(l) + l.xlen
end

-- { pos, attempts, flags, not_before } each, ascending; and `at_x`: by position.
function lanes.exceptions(l)
    if not l.exceptions then
        l.exceptions, l.at_x = {}, {}
        local raw = l.xlen > 0 and redis.call('GET', lanes.key(l, 'x')) or ''
        for at = 1, #raw, lanes.X_SIZE do
            local x = {}
            x.pos, x.attempts, x.flags, x.not_before = struct.unpack(lanes.X, raw, at)
            l.exceptions[#l.exceptions + 1] = x
            l.at_x[x.pos] = x
        end
    end
    return l.exceptions
end
function lanes.exception(l, pos)
    if l.xlen == 0 then
        return nil
    end
    lanes.exceptions(l)
    return l.at_x[pos]
end
function lanes.exceptions_raw(l)
    return l.xlen > 0 and redis.call('GET', lanes.key(l, 'x')) or ''
end
-- Replaces them all. What left may have kept bytes of a trimmed position.
function lanes.put_exceptions(l, list)
    local out, first = {}, base.get('first')
    local old = l.xlow < first and lanes.exceptions(l) or {}
    l.exceptions, l.at_x = list, {}
    for i, x in ipairs(list) do
        out[i] = struct.pack(lanes.X, x.pos, x.attempts, x.flags, x.not_before)
        l.at_x[x.pos] = x
    end
    for _, x in ipairs(old) do
        if x.pos < first and not l.at_x[x.pos] then
            lanes.loosen(x.pos)
        end
    end
    if #list > 0 then
        redis.call('SET', lanes.key(l, 'x'), table.concat(out))
    elseif l.xlen > 0 then
        redis.call('DEL', lanes.key(l, 'x'))
    end
    lanes.set(l, 'xlen', #list)
    lanes.set(l, 'xlow', #list > 0 and list[1].pos or 0)
end

-- Nobody may need the bytes of `pos` any more: housekeeping looks.
function lanes.loosen(pos)
    if pos < base.get('first') then
        redis.call('ZADD', base.key('loose'), pos, pos)
    end
    lanes.wanted_set = nil
end

-- Nothing is to be done about `pos` on this lane (any more).
function lanes.settled(l, pos)
    return pos <= lanes.position(l) and not lanes.exception(l, pos)
end

-- ---- definitions

local function kinds_of(u)
    local out, len = {}, wire.u32(u)
    for _ = 1, len do
        out[wire.num(u, '<I2')] = true
    end
    return len > 0 and out or nil
end

-- What a packed definition says. Equal definitions are equal when packed. kinds and except_kinds
-- are sets, nil when empty.
local unpacked = {}
function lanes.definition(packed)
    local d = unpacked[packed]
    if d then
        return d
    end
    local u = wire.reader(packed)
    d = {}
    d.url, d.name, d.route, d.family = wire.str(u), wire.str(u), wire.u8(u), wire.u8(u)
    d.window, d.rate = wire.u32(u), wire.u32(u)
    d.kinds, d.except_kinds = kinds_of(u), kinds_of(u)
    local flags = wire.u8(u)
    d.is_private, d.backfill, d.hold = flags % 2 >= 1, flags % 4 >= 2, flags >= 4
    unpacked[packed] = d
    return d
end

local NEVER, PRIVATE = { [22242] = true }, { [4] = true, [1059] = true, [21059] = true } -- as kinds.c

-- As definition_allows.
function lanes.allows(packed, kind)
    local d = lanes.definition(packed)
    if NEVER[kind] or (PRIVATE[kind] and not d.is_private) then
        return false
    end
    return (not d.kinds or d.kinds[kind] == true) and not (d.except_kinds and d.except_kinds[kind])
end

-- The versions of a lane's definition, ascending: { version, from, packed }.
function lanes.versions(l)
    local flat, out = redis.call('HGETALL', lanes.key(l, 'v')), {}
    for i = 1, #flat, 2 do
        out[#out + 1] = { version = tonumber(flat[i]), from = struct.unpack('<I8', flat[i + 1]),
            packed = string.sub(flat[i + 1], 9) }
    end
    table.sort(out, function(a, b) return a.version < b.version end)
    return out
end

-- The packed definition that holds at `pos`.
function lanes.definition_at(l, pos)
    local all = lanes.versions(l)
    local best = all[1]
    for _, v in ipairs(all) do
        if v.version <= l.def_version and v.from < pos then
            best = v
        end
    end
    return best.packed
end

function lanes.held(l)
    if l.hold == 0 then
        return lanes.definition(l.new).hold
    end
    return l.hold == 1
end
