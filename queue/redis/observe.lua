#!lua
-- needs: base log lanes stat
-- Adds to the statistics what somebody saw. Not in low memory: appends come first.
local PROBE = 1

local function observation(u)
    local o = { lane = wire.u32(u), route = wire.u8(u), family = wire.u8(u), counts = stat.get_counts(u),
        streak = wire.num(u, '<i4'), success_ago = wire.u32(u), failure_ago = wire.u32(u),
        last = stat.get_last(u) }
    if o.route >= stat.ROUTES or o.family >= stat.FAMILIES or o.last.at_ms < 0 or o.last.at_ms > stat.U32 then
        u.bad = true
    end
    return o
end

local function read(u)
    local c = { source = wire.u8(u), epoch = wire.u64(u), list = {} }
    local len = wire.u32(u)
    if c.source >= stat.SOURCES or len > stat.LIST then
        u.bad = true
    end
    while not u.bad and #c.list < len do
        c.list[#c.list + 1] = observation(u)
    end
    return c
end

local function add(l, source, o, calm)
    local key, path = lanes.key(l, 'stat'), string.char(source, o.route, o.family)
    local w = stat.read(redis.call('HGET', key, path))
    stat.add(w, o, calm)
    redis.call('HSET', key, path, stat.write(w))
    redis.call('ZADD', base.key('stat'), base.get('observed'), l.number)
end

local refused = base.begin()
if refused then
    return refused
end
local u = base.request()
local c = read(u)
if wire.is_bad(u) then
    return base.refuse(base.INVALID, 'a malformed request')
end
if c.source == PROBE and (c.epoch == 0 or c.epoch ~= base.get('lead_epoch_0')) then
    base.finish()
    return base.refuse(base.STALE)
end
local calm, taken, unknown = stat.is_calm(), 0, 0
base.add('observed', 1)
for _, o in ipairs(c.list) do
    local l = lanes.get(o.lane)
    if l and l.retired == 0 then
        add(l, c.source, o, calm)
        taken = taken + 1
    else
        unknown = unknown + 1
    end
end
base.finish()
return base.reply(struct.pack('<I4I4i8', taken, unknown, base.now_ms()))
