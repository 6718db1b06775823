#!lua flags=allow-oom
-- needs: base log lanes jobs rows show
-- receipt: what became of an event, lane by lane. It only reads; it never decides anew.
local refused = base.begin()
if refused then
    return refused
end
local NO_ROW = { from = 0, to = 0, ending = 0, cls = 0, attempts = 0, first = 0, last = 0, route = 0,
    family = 0, text = '' }

local function pack_lane(l, pos, kind)
    local d = lanes.definition(l.new)
    local ending, r, x = show.outcome(l, pos, kind)
    local out = { struct.pack('<I4', l.number), wire.pack_str(d.url), wire.pack_str(d.name),
        struct.pack('<BB', l.retired, ending) }
    if ending == show.ROW or ending == show.RETRYING then
        out[#out + 1] = rows.wire(r or NO_ROW)
    end
    if ending == show.RETRYING then
        out[#out + 1] = struct.pack('<I4', 1) ..
            struct.pack(lanes.X, x.pos, x.attempts, x.flags, x.not_before)
    end
    local history = rows.history(l, pos)
    out[#out + 1] = struct.pack('<I4', #history) .. table.concat(history)
    return table.concat(out)
end

local function answer()
    local u = base.request()
    local id = wire.raw(u, 32)
    if wire.is_bad(u) then
        return base.refuse(base.INVALID, 'this can not be read')
    end
    local pos = log.find(id)
    if not pos then
        return base.refuse(base.NOT_FOUND)
    end
    local e, out = log.entry(pos), {}
    for _, l in ipairs(lanes.all()) do
        if l.retired == 0 or pos <= l.floor then
            out[#out + 1] = pack_lane(l, pos, e.kind)
        end
    end
    return base.reply(struct.pack('<c32I8i8I4I4', id, pos, e.accepted_ms, e.kind, #out) .. table.concat(out))
end

local reply = answer()
base.finish()
return reply
