#!lua flags=allow-oom
-- needs: base bytes log facts
-- read: u64 from, u64 to. Every position from `from` on, none skipped, as far as the bounds allow.
-- Each position counts OVERHEAD bytes besides its event's.
local BYTES_MAX, OVERHEAD, CHUNK = 1024 * 1024, 64, 128

local out, count, bytes, full = { '' }, 0, 0, false -- out[1]: the head, at the end

local function fits(len)
    full = count > 0 and bytes + OVERHEAD + len > BYTES_MAX
    bytes = bytes + OVERHEAD + len
    count = count + (full and 0 or 1)
    return not full
end

local function gone(pos)
    if fits(0) then
        out[#out + 1] = struct.pack('<I8Bi8I8I8I4', pos, 1, 0, 0, 0, 0)
    end
end

local function tell(pos, entry, body)
    if not fits(#body) then
        return
    end
    local e = log.unpack(entry)
    out[#out + 1] = struct.pack('<I8Bi8I8I8I4', pos, 0, e.accepted_ms, facts.newer(e, pos),
        facts.deleted_by(e), #body)
    out[#out + 1] = body
end

-- Of what is trimmed a little is kept.
local function read_trimmed(from, to)
    local pos = from
    while pos <= to and not full do
        local kept = redis.call('ZRANGEBYSCORE', base.key('keptz'), pos, to, 'LIMIT', 0, 1)[1]
        local stop = kept and tonumber(kept) or to + 1
        while pos < stop and not full do
            gone(pos)
            pos = pos + 1
        end
        if kept and not full then
            tell(pos, redis.call('HGET', base.key('at'), kept), redis.call('HGET', base.key('kept'), kept))
            pos = pos + 1
        end
    end
end

local function read_log(from, to)
    while from <= to and not full do
        local last = math.min(to, from + CHUNK - 1)
        local found = redis.call('XRANGE', base.key('log'), from .. '-0', last .. '-0')
        local names = {}
        for pos = from, last do
            names[#names + 1] = pos
        end
        local entries = redis.call('HMGET', base.key('at'), unpack(names))
        for i = 1, #found do
            if not full then
                tell(from + i - 1, entries[i], found[i][2][2])
            end
        end
        from = last + 1
    end
end

local refused = base.begin()
if refused then
    return refused
end
local u = base.request()
local from, to = math.max(wire.u64(u), 1), math.min(wire.u64(u), base.get('head'))
if wire.is_bad(u) then
    return base.refuse(base.INVALID)
end
local first = base.get('first')
if from < first then
    read_trimmed(from, math.min(to, first - 1))
end
if not full then
    read_log(math.max(from, first), to)
end
base.finish()
out[1] = base.reply_head() .. struct.pack('<I8I4', base.get('head'), count)
return table.concat(out)
