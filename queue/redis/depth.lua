#!lua flags=allow-oom
-- needs: base log lanes leases
-- depth: how much waits, lane by lane.
local refused = base.begin()
if refused then
    return refused
end
local PATH_SIZE = 66

-- When the oldest event was accepted that is not settled.
local function oldest_ms(l)
    local pos = lanes.position(l) + 1
    if l.xlen > 0 then
        pos = l.xlow
    end
    if l.retired == 1 or pos > base.get('head') then
        return 0
    end
    return log.entry(pos).accepted_ms
end

local function status(l)
    local live, publisher = leases.status(l.number)
    local version = l.retired == 1 and l.new_version or l.def_version
    return table.concat({
        struct.pack('<I4BI4', l.number, l.retired, version),
        l.retired == 1 and l.new or l.def,
        struct.pack('<I8I8I8I8I8I8I8I8I8i8B', l.start, lanes.position(l), lanes.depth(l), l.xlen, l.reqs,
            l.failed, l.skipped, l.expired, l.delivered, oldest_ms(l), lanes.held(l) and 1 or 0),
        live,
        wire.pack_str(publisher),
        l.learned,
        struct.pack('<I4', #l.paths / PATH_SIZE), l.paths })
end

leases.expire()
local out = {}
for i, l in ipairs(lanes.all()) do
    out[i] = status(l)
end
local reply = base.reply(struct.pack('<i8I8I8I8I8I8I8i8I8i8I4', base.now_ms(), base.get('head'), base.get('first'),
    base.get('head') + 1 - base.get('first'), base.get('bytes'), base.max_bytes, base.get('beat'),
    base.get('beat_ms'), base.get('beat_taken'), base.get('beat_taken_ms'), #out) .. table.concat(out))
base.finish()
return reply
