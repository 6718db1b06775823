#!lua flags=allow-oom
-- needs: base log lanes
-- All lanes with all their definitions, as operators see them.
local function entry(l)
    local versions, out = lanes.versions(l), {}
    for i, v in ipairs(versions) do
        local waits = v.version > l.def_version
        out[i] = struct.pack('<I4I8B', v.version, waits and 0 or v.from, waits and 1 or 0) .. v.packed
    end
    return struct.pack('<I4Bi8I8I8BI4', l.number, l.retired, l.retired_ms, l.start, lanes.position(l), l.hold,
        #versions) .. table.concat(out)
end

local refused = base.begin()
if refused then
    return refused
end
local all, out = lanes.all(), {}
for i, l in ipairs(all) do
    out[i] = entry(l)
end
base.finish()
return base.reply(struct.pack('<I8i8', base.get('registry_version'), base.get('list_ms')) ..
    wire.pack_str(base.text('list_by')) .. struct.pack('<I4', #all) .. table.concat(out))
