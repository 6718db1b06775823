-- Who is alive and who holds which lane: what leases.c and lease.c do, kept in Redis between calls.
-- Needs: base lanes.
--
-- p:leases  hash  lane -> LANE, then what its holder told last of it, as on the wire; lanes that are
--                 not retired
-- p:pubs    hash  publisher's id -> PUB, then its name
-- meta: leases_planned (1: `wanted` holds), leases_next (when the first term ends), leases_era and
-- leases_registry (the era and the registry's version that all this is about), leases_calm (until then
-- nobody expires).
--
-- Terms end by meta's `steady`, a clock that only housekeeping moves: no jump of the wall clock ends
-- one. They begin at what that clock is now at most, so that one is never short because housekeeping
-- is late. Another server process knows whom lanes were granted to, and gives each of these one term.
local leases = { TERM_MS = 10000, LATE_MAX_MS = 15000, CALM_MS = 1000,
    PUBLISHERS_MAX = 1024, GRANTS_MAX = 1024,
    LANE = '<BBc16c16I8I8B', LANE_SIZE = 51, PUB = '<I8I4BB', PUB_SIZE = 14,
    NOBODY = string.rep('\0', 16), LIVE = '<Bi8I4Bi8i8I4i8', LIVE_SIZE = 42,
    UNLEASED = 0, IDLE = 1, HELD = 5, BATCH = 1000,
    TOLD = 2 } -- `live` is the holder's, in LIVE; what is told otherwise is of another version

-- The steady clock, with what may have passed since housekeeping last moved it.
function leases.now()
    local passed = base.text('house_boot') == '' and 0 or base.now_ms() - base.get('house_time')
    return base.get('steady') + math.max(0, math.min(passed, leases.LATE_MAX_MS))
end

-- It changed.
function leases.touch(lane)
    leases.dirty[lane.number] = lane
end

local function add_publisher(id, publisher)
    publisher.id = id
    leases.pubs[id] = publisher
    leases.pubs_len = leases.pubs_len + 1
    leases.pubs_dirty[id] = true
    base.put('leases_planned', 0)
    return publisher
end

local function read_lanes()
    local flat = redis.call('HGETALL', base.key('leases'))
    leases.of, leases.dirty = {}, {}
    for i = 1, #flat, 2 do
        local lane = { number = tonumber(flat[i]) }
        lane.route, lane.hold, lane.holder, lane.wanted, lane.epoch, lane.free_ms, lane.told =
            struct.unpack(leases.LANE, flat[i + 1])
        lane.live = string.sub(flat[i + 1], leases.LANE_SIZE + 1)
        leases.of[lane.number] = lane
    end
end

local function read_publishers()
    local flat = redis.call('HGETALL', base.key('pubs'))
    leases.pubs, leases.pubs_len, leases.pubs_dirty = {}, #flat / 2, {}
    for i = 1, #flat, 2 do
        local p = { id = flat[i] }
        p.ends, p.routes, p.leaving, p.called = struct.unpack(leases.PUB, flat[i + 1])
        p.name = string.sub(flat[i + 1], leases.PUB_SIZE + 1)
        leases.pubs[p.id] = p
    end
end

local function sort_lanes()
    leases.list = {}
    for _, lane in pairs(leases.of) do
        leases.list[#leases.list + 1] = lane
    end
    table.sort(leases.list, function(a, b) return a.number < b.number end)
end

-- The list of lanes is another one: new ones join, missing ones leave, routes are taken over.
local function take_registry()
    local known = leases.of
    leases.of = {}
    for _, l in ipairs(lanes.live()) do
        local lane = known[l.number] or { number = l.number, holder = leases.NOBODY,
            wanted = leases.NOBODY, epoch = l.epoch, free_ms = leases.now(), told = 0, live = '' }
        local d = lanes.definition(l.new)
        lane.route, lane.hold = d.route, d.hold and 1 or 0
        leases.of[l.number] = lane
        known[l.number] = nil
        leases.touch(lane)
    end
    for number in pairs(known) do
        redis.call('HDEL', base.key('leases'), number)
    end
    sort_lanes()
    base.put('leases_registry', base.get('registry_version'))
    base.put('leases_planned', 0)
    base.add('news', 1)
end

-- Nobody is known to be alive but those whom lanes were granted to, and of these nothing else.
local function begin_again()
    redis.call('DEL', base.key('pubs'))
    leases.pubs, leases.pubs_len, leases.pubs_dirty = {}, 0, {}
    for _, lane in ipairs(leases.list) do
        lane.told, lane.live, lane.free_ms, lane.wanted = 0, '', leases.now(), leases.NOBODY
        leases.touch(lane)
        if lane.holder ~= leases.NOBODY then
            local p = leases.pubs[lane.holder] or add_publisher(lane.holder,
                { ends = leases.now() + leases.TERM_MS, routes = 0, leaving = 0, called = 0, name = '' })
            p.routes = bit.bor(p.routes, bit.lshift(1, lane.route))
        end
    end
    base.put('leases_era', base.get('era'))
    base.put('leases_planned', 0)
    base.add('news', 1)
end

-- Reads the table, and brings it up to date with the registry and the server. All functions here do.
function leases.load()
    if not leases.of then
        read_lanes()
        read_publishers()
        sort_lanes()
    end
    if base.get('leases_era') ~= base.get('era') then
        begin_again()
    end
    if base.get('leases_registry') ~= base.get('registry_version') then
        take_registry()
    end
end

local function save_publishers()
    local first = 0
    for _, p in pairs(leases.pubs) do
        first = (first == 0 or p.ends < first) and p.ends or first
    end
    for id in pairs(leases.pubs_dirty) do
        local p = leases.pubs[id]
        if p then
            redis.call('HSET', base.key('pubs'), id,
                struct.pack(leases.PUB, p.ends, p.routes, p.leaving, p.called) .. p.name)
        else
            redis.call('HDEL', base.key('pubs'), id)
        end
    end
    leases.pubs_dirty = {}
    if base.get('leases_next') ~= first then
        base.put('leases_next', first)
    end
end

base.savers[#base.savers + 1] = function()
    if not leases.of then
        return
    end
    local args = {}
    for number, lane in pairs(leases.dirty) do
        args[#args + 1] = number
        args[#args + 1] = struct.pack(leases.LANE, lane.route, lane.hold, lane.holder, lane.wanted,
            lane.epoch, lane.free_ms, lane.told) .. lane.live
    end
    for i = 1, #args, leases.BATCH do
        redis.call('HSET', base.key('leases'), unpack(args, i, math.min(i + leases.BATCH, #args + 1) - 1))
    end
    leases.dirty = {}
    save_publishers()
end

-- ---- publishers

-- call: id name routes leaving(0, 1). False: too many are alive.
function leases.renew(call)
    leases.load()
    local p = leases.pubs[call.id]
    if not p then
        if leases.pubs_len >= leases.PUBLISHERS_MAX then
            return false
        end
        p = add_publisher(call.id, {})
    end
    if p.routes ~= call.routes or p.leaving ~= call.leaving then
        base.put('leases_planned', 0)
    end
    p.name, p.routes, p.leaving, p.called = call.name, call.routes, call.leaving, 1
    p.ends = leases.now() + leases.TERM_MS
    leases.pubs_dirty[p.id] = true
    return true
end

-- Nobody holds it.
function leases.set_free(lane)
    lane.holder, lane.told, lane.live, lane.free_ms = leases.NOBODY, 0, '', leases.now()
    leases.touch(lane)
    base.add('news', 1)
end

local function forget(id)
    for _, lane in ipairs(leases.list) do
        if lane.holder == id then
            leases.set_free(lane)
        end
        if lane.wanted == id then
            lane.wanted = leases.NOBODY
            leases.touch(lane)
        end
    end
    leases.pubs[id] = nil
    leases.pubs_len = leases.pubs_len - 1
    leases.pubs_dirty[id] = true
    base.put('leases_planned', 0)
    base.add('news', 1)
end

-- The clock moved far at once: this server, or who keeps house, was stalled, and what publishers asked
-- meanwhile is heard first.
function leases.calm()
    base.put('leases_calm', base.get('steady') + leases.CALM_MS)
end

-- Forgets every publisher whose term ended. Costs nothing when there is none.
function leases.expire()
    local steady = base.get('steady')
    if steady < base.get('leases_calm') then
        return
    end
    local current = base.get('leases_era') == base.get('era') and
        base.get('leases_registry') == base.get('registry_version')
    local first = base.get('leases_next')
    if not leases.of and current and (first == 0 or first > steady) then
        return
    end
    leases.load()
    local gone = {}
    for id, p in pairs(leases.pubs) do
        if p.ends <= steady then
            gone[#gone + 1] = id
        end
    end
    for _, id in ipairs(gone) do
        forget(id)
    end
end

-- What the lane's holder told last, as on the wire, and its name.
function leases.status(number)
    leases.load()
    local lane = leases.of[number]
    if not lane or lane.holder == leases.NOBODY then
        local since = lane and base.now_ms() - (leases.now() - lane.free_ms) or 0
        return struct.pack(leases.LIVE, leases.UNLEASED, since, 0, 0, 0, 0, 0, 0) .. wire.pack_str(''), ''
    end
    local live = lane.told == leases.TOLD and lane.live or
        struct.pack(leases.LIVE, leases.IDLE, 0, 0, 0, 0, 0, 0, 0) .. wire.pack_str('')
    return live, leases.pubs[lane.holder].name
end

-- The holder is told that the lane is not held: if its word was that it is, it goes on now.
function leases.not_held(number)
    local lane = leases.of[number]
    if string.byte(lane.live) == leases.HELD then
        lane.live = string.char(leases.IDLE) .. string.sub(lane.live, 2)
        leases.touch(lane)
    end
end
