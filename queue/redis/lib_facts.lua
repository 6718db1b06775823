-- Facts of events: which version of an address is the newest, and what its author deleted.
-- Needs: base bytes log.
--
-- p:latest    hash  address -> LATEST: the newest version, and how many are known
-- p:deletions zset  all of score 0, found by their bytes: 'i' author id pos, or
--                   'a' address pos created_at (numbers big endian)
-- An entry's `rest`: nothing for most; created_at (8 bytes) and the address where there is one;
-- of a deletion created_at and 33 bytes for each thing it deletes, as they come.
-- created_at may be any 64 bits: it stays 8 bytes, big endian, and is compared so.
local facts = { LATEST = '<I8c8c32I4', GIVEN = '<c32c32c8I4Bc32I2', DELETION = 5, TOLD_MAX = 64 }

-- The facts that came beside an append's frame, at `at`: an entry to be (or a heartbeat), and where
-- the next begins.
function facts.given(s, at)
    local e, flags, address, count = {}, nil, nil, nil
    e.id, e.author, e.created, e.kind, flags, address, count, at = struct.unpack(facts.GIVEN, s, at)
    e.created = string.reverse(e.created)
    e.rest = ''
    e.heartbeat = flags >= 2
    if flags % 2 == 1 then
        e.address = address
        e.rest = e.created .. address
    elseif e.kind == facts.DELETION then
        e.deletes = string.sub(s, at, at + 33 * count - 1)
        e.rest = e.created .. e.deletes
    end
    return e, at + 33 * count
end

-- The same of an entry that is there.
local function known(e)
    if e.rest ~= '' and not e.created then
        e.created = string.sub(e.rest, 1, 8)
        if e.kind == facts.DELETION then
            e.deletes = string.sub(e.rest, 9)
        else
            e.address = string.sub(e.rest, 9)
        end
    end
    return e
end

local function latest(address)
    local raw = redis.call('HGET', base.key('latest'), address)
    if not raw then
        return nil
    end
    local v = {}
    v.pos, v.created, v.id, v.versions = struct.unpack(facts.LATEST, raw)
    return v
end

local function put_latest(address, v)
    redis.call('HSET', base.key('latest'), address,
        struct.pack(facts.LATEST, v.pos, v.created, v.id, v.versions))
end

-- The position of a newer version; 0.
function facts.newer(e, pos)
    if not known(e).address then
        return 0
    end
    local v = latest(e.address)
    return v and v.pos ~= pos and v.pos or 0
end

local function add_version(e, pos, told)
    local v = latest(e.address)
    if not v then
        put_latest(e.address, { pos = pos, created = e.created, id = e.id, versions = 1 })
        return
    end
    -- The same event may be there under a position that is forgotten.
    local same = v.id == e.id
    local newest = not same and (less(v.created, e.created) or
        (v.created == e.created and less(e.id, v.id)))
    if newest then
        told.superseded = v.pos
    end
    if newest or same then
        v.pos, v.created, v.id = pos, e.created, e.id
    else
        told.newer = v.pos
    end
    v.versions = v.versions + 1
    put_latest(e.address, v)
end

-- ---- deletions

-- The position of the first deletion of `what` that was made at or after `since`; nil.
local function first_deletion(what, since)
    local from = '[' .. what
    while true do
        local found = redis.call('ZRANGEBYLEX', base.key('deletions'), from, '[' .. what .. string.rep('\255', 17),
            'LIMIT', 0, 64)
        for i = 1, #found do
            local created = string.sub(found[i], #what + 9)
            if not since or not less(created, since) then
                return struct.unpack('>I8', found[i], #what + 1)
            end
        end
        if #found < 64 then
            return nil
        end
        from = '(' .. found[64]
    end
end

-- The position of its author's deletion; 0.
function facts.deleted_by(e)
    if e.kind == facts.DELETION or base.get('deletions') == 0 then
        return 0
    end
    local pos = first_deletion('i' .. e.author .. e.id)
    if known(e).address then
        local other = first_deletion('a' .. e.address, e.created)
        if other and (not pos or other < pos) then
            pos = other
        end
    end
    return pos or 0
end

local function tell_deleted(told, pos)
    for i = 1, #told.deleted do
        if told.deleted[i] == pos then
            return
        end
    end
    if #told.deleted == facts.TOLD_MAX then
        told.more = true
    else
        told.deleted[#told.deleted + 1] = pos
    end
end

-- Only what still has its bytes is told: nobody has anything to skip of what is trimmed.
local function find_deleted(e, letter, what, told)
    if letter == 'i' then
        local pos = log.find(what)
        local other = pos and log.has(pos) and log.entry(pos)
        if other and other.kind ~= facts.DELETION and other.author == e.author then
            tell_deleted(told, pos)
        end
        return
    end
    local v = latest(what)
    if v and log.has(v.pos) and not less(e.created, v.created) then
        tell_deleted(told, v.pos)
    end
    if v and v.versions > 1 then -- the others are not known here
        told.more = true
    end
end

local function deletion_key(e, letter, what, pos)
    if letter == 'i' then
        return 'i' .. e.author .. what .. struct.pack('>I8', pos)
    end
    return 'a' .. what .. struct.pack('>I8', pos) .. e.created
end

local function add_deletions(e, pos, told)
    for at = 1, #e.deletes, 33 do
        local letter, what = string.sub(e.deletes, at, at), string.sub(e.deletes, at + 1, at + 32)
        find_deleted(e, letter, what, told)
        base.add('deletions', redis.call('ZADD', base.key('deletions'), 0, deletion_key(e, letter, what, pos)))
    end
end

-- ---- both

-- Takes in an event that was just given `pos`. Returns what the tail tells of it: newer, deleted_by,
-- superseded (positions; 0 for none), deleted (a list), more.
function facts.add(e, pos)
    local told = { newer = 0, superseded = 0, deleted = {}, more = false }
    if e.address then
        add_version(e, pos, told)
    end
    if e.deletes then
        add_deletions(e, pos, told)
    end
    told.deleted_by = facts.deleted_by(e)
    return told
end

-- The position's entry is forgotten. The newest version counts until all are: the others are
-- superseded all the same.
function facts.forget(pos, e)
    known(e)
    if e.address then
        local v = latest(e.address)
        if v and v.versions > 1 then
            v.versions = v.versions - 1
            put_latest(e.address, v)
        elseif v then
            redis.call('HDEL', base.key('latest'), e.address)
        end
    end
    for at = 1, #(e.deletes or ''), 33 do
        base.add('deletions', -redis.call('ZREM', base.key('deletions'),
            deletion_key(e, string.sub(e.deletes, at, at), string.sub(e.deletes, at + 1, at + 32), pos)))
    end
end
