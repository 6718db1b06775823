#!lua
-- needs: base bytes log lanes jobs rows facts keep beat
-- append: ARGV[5] has the facts of the frame's events, one after the other (lib_facts).
--
-- p:takes hash: what live lanes take, for a quick answer. v: the registry's version it is from;
-- 1 … n: packed definitions, one for each way in which the lanes choose kinds.
local APPENDS_MAX = 1024

-- What of a packed definition chooses kinds: both lists, and whether it is private.
local function filter_of(packed)
    local u = wire.reader(packed)
    wire.str(u)
    wire.str(u)
    wire.raw(u, 10)
    local from = u.at
    wire.raw(u, 2 * wire.u32(u))
    wire.raw(u, 2 * wire.u32(u))
    return string.sub(packed, from, u.at - 1) .. (wire.u8(u) % 2)
end

-- Packed definitions, one of each that chooses other kinds. Loaded once a call.
local takes
local function load_takes()
    local key, version = base.key('takes'), base.get('registry_version')
    takes = {}
    local flat = redis.call('HGETALL', key)
    for i = 1, #flat, 2 do
        takes[flat[i]] = flat[i + 1]
    end
    if takes.v and tonumber(takes.v) == version then
        takes.v = nil
        return
    end
    local seen, args = {}, { 'v', version }
    takes = {}
    for _, l in ipairs(lanes.live()) do
        local filter = filter_of(l.new)
        if not seen[filter] then
            seen[filter] = true
            takes[#takes + 1] = l.new
            args[#args + 1] = #takes
            args[#args + 1] = l.new
        end
    end
    redis.call('DEL', key)
    for i = 1, #args, 1000 do
        redis.call('HSET', key, unpack(args, i, math.min(i + 999, #args)))
    end
end

local function taken(kind)
    for _, packed in pairs(takes) do
        if lanes.allows(packed, kind) then
            return true
        end
    end
    return false
end

-- An error and a line for people, or nil.
local function refusal(e, len)
    if not takes then
        load_takes()
    end
    if not next(takes) then
        return base.NO_LANES, 'no relay is configured'
    end
    if not taken(e.kind) then
        return base.FILTERED, 'no relay takes events of kind ' .. e.kind
    end
    if not keep.make_room(len + log.COST) then
        return base.FULL, 'queue is full (its relays are behind); try again later'
    end
    return nil
end

-- ---- what was there already

-- Lanes that may have a row there: those with a row of its own refer to it; those that gave up many
-- positions at a time may have it in a run.
local function lanes_at(pos)
    local out, seen = {}, {}
    local refs = redis.call('HGET', base.key('refs'), pos) or ''
    for at = 1, #refs, 4 do
        local l = lanes.get(struct.unpack('<I4', refs, at))
        if l then
            out[#out + 1], seen[l.number] = l, true
        end
    end
    for _, l in ipairs(lanes.in_set('running')) do
        if not seen[l.number] then
            out[#out + 1] = l
        end
    end
    return out
end

-- Somebody sent it again, and means it: it goes once more to the lanes where it failed. Returns on
-- how many.
local function append_again(pos, bytes)
    local before, requeued = rows.requeued_ms(pos), 0
    if before ~= 0 and base.now_ms() - before < rows.REQUEUE_PAUSE_MS then
        return 0
    end
    for _, l in ipairs(lanes_at(pos)) do
        if rows.requeue(l, pos) then
            requeued = requeued + 1
        end
    end
    if requeued > 0 then
        rows.note_requeued(pos)
        log.restore(pos, bytes)
        lanes.loosen(pos)
    end
    return requeued
end

-- ---- the tail

local tail, told_len = { '' }, 0 -- tail[1]: its head, at the end
local function tell(e, pos, bytes, told)
    local superseded = told.superseded ~= 0 and struct.pack('<I4I8', 1, told.superseded) or '\0\0\0\0'
    local deleted = {}
    for i = 1, #told.deleted do
        deleted[i] = struct.pack('<I8', told.deleted[i])
    end
    tail[#tail + 1] = struct.pack('<I8Bi8I8I8I4', pos, 0, e.accepted_ms, told.newer, told.deleted_by, #bytes)
    tail[#tail + 1] = bytes
    tail[#tail + 1] = superseded .. struct.pack('<I4', #deleted) .. table.concat(deleted)
        .. (told.more and '\1' or '\0')
    told_len = told_len + 1
end

-- ---- the call

local function append(e, bytes)
    if e.heartbeat then
        return struct.pack('<BI8BI4', base.NONE, 0, beat.add(e.id, bytes) and 0 or 1, 0)
    end
    local pos = log.find(e.id)
    if pos then
        return struct.pack('<BI8BI4', base.NONE, pos, 1, append_again(pos, bytes))
    end
    local err, why = refusal(e, #bytes)
    if err then
        return struct.pack('<BI4', err, #why) .. why
    end
    pos = log.add(e, bytes)
    tell(e, pos, bytes, facts.add(e, pos))
    return struct.pack('<BI8BI4', base.NONE, pos, 0, 0)
end

local refused = base.begin()
if refused then
    return refused
end
local u, at, list = base.request(), 1, {}
local count = wire.u32(u)
for i = 1, count <= APPENDS_MAX and count or 0 do
    list[i] = { bytes = wire.str(u) }
    if u.bad then
        break
    end
    list[i].e, at = facts.given(ARGV[5], at)
end
if #list ~= count or wire.is_bad(u) then
    return base.refuse(base.INVALID)
end
local out = { struct.pack('<I4', count) }
for i, given in ipairs(list) do
    out[i + 1] = append(given.e, given.bytes)
end
base.finish()
if told_len > 0 then
    tail[1] = struct.pack('<c1I2I8I8I4', 'T', wire.VERSION, 0, base.get('head'), told_len)
    redis.call('PUBLISH', base.key('tail'), table.concat(tail))
end
return base.reply(table.concat(out))
