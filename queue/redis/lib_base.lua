-- What every script of the queue begins and ends with: the call, the meta record, and frames.
--
-- KEYS (p = the prefix; <n> a lane's number, <j> a job's; positions and numbers are decimal):
--   p:meta          hash    store format incarnation era head first news moved bytes ... (see the libs)
--   p:log           stream  <pos>-0, field e: canonical bytes; trimmed from below, never singly
--   p:ids           hash    id (32 bytes) -> position
--   p:at            hash    position -> entry (lib_log), until its id is forgotten
--   p:requeued      hash    position -> when it was last put back, ms
--   p:kept p:keptz  hash, sorted set: bytes of trimmed positions that are kept; the same, ordered
--   p:holds         hash    position -> lanes that have a failed row there
--   p:failedms      hash    position -> when it last failed
--   p:refs          hash    position -> numbers (u32 each) of lanes with a row or history of their own there
--   p:loose         zset    trimmed positions whose bytes may not be needed any more
--   p:done          zset    trimmed positions (8 bytes, big endian) by the time they were finished
--   p:lanes p:live  zset    numbers of all lanes; of those that are not retired
--   p:low p:retired zset    live lanes by the lowest position they need; retired ones by when they were
--   p:latest        hash    address -> its newest version (lib_facts)
--   p:deletions     zset    what authors deleted (lib_facts)
--   p:takes         hash    what live lanes take, for a quick answer (append.lua)
--   p:leases p:pubs hash    who holds which lane; who is alive (lib_leases)
--   p:asking p:running set  lanes with requests; with runs of rows
--   p:leaving       set     lanes that are forgotten, and whose keys go step by step
--   p:lane:<n>      hash    the lane (lib_lanes); with :v hash, :x string, :req zset, :rows zset,
--                           :hist hash, :asked zset
--   p:stat          zset    lanes with statistics (lib_stat: p:lane:<n>:stat) by their version
--   p:jobs          zset    numbers of replay jobs; p:job:<j> hash, p:job:<j>:lanes hash, p:job:<j>:<n> zset
--   p:beat          string  the latest heartbeat's canonical bytes (lib_beat)
--   p:tail          channel what was appended, as the broker publishes it
-- The groups of p:log stand where the lanes do, for others to see; the queue itself reads none.
-- No script ever walks the keys of the server.
local base = {
    p = KEYS[1], call = redis.call, FORMAT = '1',
    -- enum err
    NONE = 0, INVALID = 1, TOO_BIG = 2, NOT_FOUND = 3, FULL = 5, NO_SPACE = 6, NO_LANES = 7,
    FILTERED = 8, STALE = 17,
}

function base.key(name)
    return base.p .. ':' .. name
end

function base.now_ms()
    if not base.now then
        local t = redis.call('TIME')
        base.now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
    end
    return base.now
end

-- The meta record. A field that is missing is 0 as a number.
function base.get(field)
    return tonumber(base.meta[field]) or 0
end

function base.text(field)
    return base.meta[field] or ''
end

function base.put(field, value)
    base.meta[field] = value
    base.dirty[field] = true
end

function base.add(field, value)
    base.put(field, base.get(field) + value)
end

function base.load()
    local flat = redis.call('HGETALL', base.key('meta'))
    base.meta, base.dirty = {}, {}
    for i = 1, #flat, 2 do
        base.meta[flat[i]] = flat[i + 1]
    end
    local retention, max, failed, lane = string.match(ARGV[4] or '', '(%d+) (%d+) (%d+) (%d+)')
    base.retention_ms, base.max_bytes = tonumber(retention) or 0, tonumber(max) or 0
    base.failed_max, base.lane_max = tonumber(failed) or 0, tonumber(lane) or 0
end

-- Another server process, or another history: nobody may rely on what he has in memory. Leases and
-- what jobs know of the clock carry the era they are from.
local function notice_restart()
    if base.meta.incarnation ~= ARGV[2] then
        base.put('incarnation', ARGV[2])
        base.add('era', 1)
        base.add('news', 1)
        base.restarted = true
    end
end

-- Returns an error to answer with, or nil. All verbs but hello.
function base.begin()
    base.load()
    if not base.meta.store then
        return redis.error_reply('VOLLEYOTHER there is no queue here')
    end
    if ARGV[1] ~= '' and ARGV[1] ~= base.meta.store then
        return redis.error_reply('VOLLEYOTHER this is another queue')
    end
    if base.meta.format ~= base.FORMAT then
        return redis.error_reply('VOLLEYFORMAT the queue has format ' .. tostring(base.meta.format))
    end
    notice_restart()
    base.frame = ARGV[3]
    return nil
end

-- Writes what was changed. Libs with something to save add themselves to base.savers.
base.savers = {}
function base.finish()
    for i = 1, #base.savers do
        base.savers[i]()
    end
    local args = {}
    for field in pairs(base.dirty) do
        args[#args + 1] = field
        args[#args + 1] = base.meta[field]
    end
    if #args > 0 then
        redis.call('HSET', base.key('meta'), unpack(args))
    end
    base.dirty = {}
end

-- ---- records: tables of fields that are a hash each, kept for the call

local record = {}
function record.set(r, field, value)
    r[field] = value
    r.dirty[field] = true
end
function record.add(r, field, value)
    record.set(r, field, r[field] + value)
end
-- Writes the fields that were set, which stay dirty. False: there are none.
function record.write(key, r)
    local args = {}
    for field in pairs(r.dirty) do
        args[#args + 1] = field
        args[#args + 1] = r[field]
    end
    if #args > 0 then
        redis.call('HSET', key, unpack(args))
    end
    return #args > 0
end

-- ---- frames

-- A reader: { s, at, bad }. What is not there reads as zeros and is remembered.
local wire = { VERSION = 3 }
function wire.reader(s, at)
    return { s = s, at = at or 1, bad = false }
end

local widths = { ['<B'] = 1, ['<I2'] = 2, ['<I4'] = 4, ['<i4'] = 4, ['<I8'] = 8, ['<i8'] = 8 }
function wire.num(u, format)
    local width = widths[format]
    if u.at + width - 1 > #u.s then
        u.bad = true
        return 0
    end
    local n = struct.unpack(format, u.s, u.at)
    u.at = u.at + width
    return n
end
function wire.u8(u) return wire.num(u, '<B') end
function wire.u32(u) return wire.num(u, '<I4') end
function wire.u64(u) return wire.num(u, '<I8') end
function wire.i64(u) return wire.num(u, '<i8') end
function wire.raw(u, len)
    if u.at + len - 1 > #u.s then
        u.bad = true
        return string.rep('\0', math.min(len, 64))
    end
    local s = string.sub(u.s, u.at, u.at + len - 1)
    u.at = u.at + len
    return s
end
function wire.str(u)
    return wire.raw(u, wire.u32(u))
end
function wire.is_bad(u)
    return u.bad or u.at ~= #u.s + 1
end

-- The request's reader, behind the head.
function base.request()
    return wire.reader(base.frame, 12)
end
-- A frame of the reply, of whatever parts follow the error.
function base.reply(parts)
    return base.reply_head() .. parts
end
-- What comes before the parts: Lua looks at every byte of every string that it makes, so long
-- answers are better put together once.
function base.reply_head()
    return struct.pack('<I2B', wire.VERSION, bit.bor(string.byte(base.frame, 3), 128)) ..
        string.sub(base.frame, 4, 11) .. '\0'
end
function base.refuse(err, why)
    why = why or ''
    return struct.pack('<I2B', wire.VERSION, bit.bor(string.byte(base.frame, 3), 128)) ..
        string.sub(base.frame, 4, 11) .. struct.pack('<BI4', err, #why) .. why
end
function wire.pack_str(s)
    return struct.pack('<I4', #s) .. s
end
