#!lua flags=allow-oom
-- needs: base lanes jobs
-- jobs: all replay jobs, ascending.
local refused = base.begin()
if refused then
    return refused
end
local out = {}
for i, j in ipairs(jobs.all()) do
    out[i] = struct.pack('<I8Bi8i8I4I8I8I8I8I8I8', j.number, j.state, j.made_ms, j.ended_ms, j.rate, j.total,
        j.waiting, j.asked, j.delivered, j.failed, j.dropped) .. wire.pack_str(j.text) .. wire.pack_str(j.by)
end
base.finish()
return base.reply(struct.pack('<I4', #out) .. table.concat(out))
