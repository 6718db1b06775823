-- The lane that is built in (heartbeat.h): the latest heartbeat alone is kept, beside the log.
-- Needs: base.
--
-- meta: beat (its number), beat_ms (when it came), beat_taken (the latest that was committed),
-- beat_taken_ms, beat_id.
local beat = { LANE = 0 }

-- False: it is the latest one, again.
function beat.add(id, bytes)
    if base.text('beat_id') == id then
        return false
    end
    redis.call('SET', base.key('beat'), bytes)
    base.put('beat_id', id)
    base.add('beat', 1)
    base.put('beat_ms', base.now_ms())
    base.add('news', 1)
    return true
end

-- False: it, or a later one, was committed before.
function beat.take(number)
    if number <= base.get('beat_taken') then
        return false
    end
    base.put('beat_taken', number)
    base.put('beat_taken_ms', base.now_ms())
    return true
end

-- For a lease's answer: the number and the bytes of one that nobody has committed. One whose key
-- somebody deleted is gone: the next one comes, and leases go on meanwhile.
function beat.due()
    local number = base.get('beat')
    local bytes = base.get('beat_taken') < number and redis.call('GET', base.key('beat'))
    return bytes and struct.pack('<I8', number) .. wire.pack_str(bytes) or struct.pack('<I8', 0)
end
