-- Positions: what was accepted, and where its bytes are. Needs: base.
--
-- meta: head, first (head + 1 when the log is empty), bytes (what counts in max_bytes: 128 an id
-- that is known, and the bytes that are kept), cum (sum of 128 + length of all there ever were),
-- kept_bytes (bytes kept below first).
-- An entry: id author kind accepted_ms before len, then what facts need (lib_facts): `before` is
-- cum without it, so that the bytes between two positions are a difference.
local log = { COST = 128, FORMAT = '<c32c32I4i8I8I4', SIZE = 88 }

function log.pack(e)
    return struct.pack(log.FORMAT, e.id, e.author, e.kind, e.accepted_ms, e.before, e.len) .. (e.rest or '')
end

function log.unpack(raw)
    local e = {}
    e.id, e.author, e.kind, e.accepted_ms, e.before, e.len = struct.unpack(log.FORMAT, raw)
    e.rest = string.sub(raw, log.SIZE + 1)
    return e
end

-- nil: there is none, or it is forgotten.
function log.entry(pos)
    local raw = redis.call('HGET', base.key('at'), pos)
    return raw and log.unpack(raw) or nil
end

-- There is an entry.
function log.known(pos)
    return redis.call('HEXISTS', base.key('at'), pos) == 1
end

-- The position of an id; nil when it is not known (any more).
function log.find(id)
    local pos = redis.call('HGET', base.key('ids'), id)
    return pos and tonumber(pos) or nil
end

-- Adds an event: e.id author kind len rest; fills in the others. Returns its position.
function log.add(e, bytes)
    local pos = base.get('head') + 1
    e.accepted_ms, e.before, e.len = base.now_ms(), base.get('cum'), #bytes
    redis.call('XADD', base.key('log'), pos .. '-0', 'e', bytes)
    redis.call('HSET', base.key('at'), pos, log.pack(e))
    redis.call('HSET', base.key('ids'), e.id, pos)
    base.put('head', pos)
    base.add('cum', log.COST + e.len)
    base.add('bytes', log.COST + e.len)
    return pos
end

-- Whether its bytes are to be had.
function log.has(pos)
    if pos >= base.get('first') then
        return pos <= base.get('head')
    end
    return redis.call('HEXISTS', base.key('kept'), pos) == 1
end

-- The canonical bytes; nil when they are gone.
function log.body(pos)
    if pos < base.get('first') then
        return redis.call('HGET', base.key('kept'), pos) or nil
    end
    local found = redis.call('XRANGE', base.key('log'), pos .. '-0', pos .. '-0')
    return found[1] and found[1][2][2] or nil
end

-- Keeps the bytes of a position that leaves the log, or comes back.
function log.keep(pos, bytes)
    redis.call('HSET', base.key('kept'), pos, bytes)
    redis.call('ZADD', base.key('keptz'), pos, pos)
    base.add('kept_bytes', #bytes)
end

-- The bytes kept of a trimmed position go. Fine when there are none.
function log.drop(pos)
    local len = redis.call('HSTRLEN', base.key('kept'), pos)
    if len == 0 then
        return
    end
    redis.call('HDEL', base.key('kept'), pos)
    redis.call('ZREM', base.key('keptz'), pos)
    base.add('kept_bytes', -len)
    base.add('bytes', -len)
end

-- Sum of 128 + length from `from` up to the head.
function log.bytes_from(from)
    if from > base.get('head') then
        return 0
    end
    return base.get('cum') - log.entry(from).before
end

-- Its bytes are back: an appended event whose position is trimmed is asked for once more.
function log.restore(pos, bytes)
    if not log.has(pos) then
        log.keep(pos, bytes)
        base.add('bytes', #bytes)
    end
end
