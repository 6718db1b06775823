#!lua flags=allow-oom
-- needs: base log lanes jobs rows show
-- tally: for the line about an event that every relay is done with. ARGV[5]: positions, '<I8' each.
local refused = base.begin()
if refused then
    return refused
end
local counted = { [show.DELIVERED] = 'delivered', [show.QUEUED] = 'waiting', [show.RETRYING] = 'waiting' }

local function tally(pos)
    local e = log.entry(pos)
    if not e then
        return struct.pack('<Bc32I4I4I4I8', 1, string.rep('\0', 32), 0, 0, 0, 0)
    end
    local t = { delivered = 0, failed = 0, waiting = 0 }
    for _, l in ipairs(lanes.live()) do
        local ending, r = show.outcome(l, pos, e.kind)
        local field = counted[ending]
        if ending == show.ROW and r.ending ~= rows.SKIPPED then
            field = 'failed'
        end
        if field then
            t[field] = t[field] + 1
        end
    end
    return struct.pack('<Bc32I4I4I4I8', 0, e.id, t.delivered, t.failed, t.waiting, e.accepted_ms)
end

local out = {}
for at = 1, #ARGV[5], 8 do
    out[#out + 1] = tally(struct.unpack('<I8', ARGV[5], at))
end
base.finish()
return table.concat(out)
