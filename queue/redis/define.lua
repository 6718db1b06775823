#!lua flags=allow-oom
-- needs: base log lanes jobs rows leases
-- Puts a list of definitions in force: lanes begin, change, retire.
--
-- meta: list (what the list in force says, as a hash), list_ms, list_by, lists_made, registry_version.
-- p:lists  sorted set: lists that were replaced, in the order they were; the latest LISTS_MAX
-- p:list   hash: each of them -> '<i8' when it was replaced, then by whom
local LISTS_MAX, LANES_MAX = 256, 16384

-- What a list says, whatever its order.
local function identity(defs)
    local sums = {}
    for i, d in ipairs(defs) do
        sums[i] = redis.sha1hex(d.packed)
    end
    table.sort(sums)
    return redis.sha1hex(table.concat(sums))
end

-- { url, packed } each, as they are in the request; nil when that is malformed.
local function read_definitions(u)
    local defs, len = {}, wire.u32(u)
    if len > LANES_MAX then
        return nil
    end
    for i = 1, len do
        local at = u.at
        local url = wire.str(u)
        wire.str(u)
        wire.raw(u, 10)
        wire.raw(u, 2 * wire.u32(u))
        wire.raw(u, 2 * wire.u32(u))
        wire.u8(u)
        wire.str(u)
        if u.bad then
            return nil
        end
        defs[i] = { url = url, packed = string.sub(u.s, at, u.at - 1) }
    end
    return not wire.is_bad(u) and defs or nil
end

-- A time as people read it, "2026-05-04 10:11:12": the proleptic calendar counted in days from March.
local function utc(ms)
    local s = math.floor(ms / 1000)
    local z = math.floor(s / 86400) + 719468
    local era = math.floor(z / 146097)
    local day_of_era = z - era * 146097
    local year_of_era = math.floor((day_of_era - math.floor(day_of_era / 1460) +
        math.floor(day_of_era / 36524) - math.floor(day_of_era / 146096)) / 365)
    local day = day_of_era - (365 * year_of_era + math.floor(year_of_era / 4) - math.floor(year_of_era / 100))
    local month = math.floor((5 * day + 2) / 153)
    local in_january = month >= 10
    return string.format('%04d-%02d-%02d %02d:%02d:%02d', year_of_era + era * 400 + (in_january and 1 or 0),
        in_january and month - 9 or month + 3, day - math.floor((153 * month + 2) / 5) + 1,
        math.floor(s % 86400 / 3600), math.floor(s % 3600 / 60), s % 60)
end

local function stale(record)
    local by = string.sub(record, 9)
    return base.refuse(base.STALE, 'this list of relays was replaced by another on ' ..
        utc(struct.unpack('<i8', record)) .. ' UTC' .. (by ~= '' and ' by ' .. by or '') ..
        ', and is not put in force again by itself; if you mean it: volley relays apply')
end

-- The list in force becomes one that was replaced.
local function replace_list(list, by)
    local old = base.text('list')
    redis.call('ZREM', base.key('lists'), list)
    redis.call('HDEL', base.key('list'), list)
    if old ~= '' then
        base.add('lists_made', 1)
        redis.call('ZADD', base.key('lists'), base.get('lists_made'), old)
        redis.call('HSET', base.key('list'), old, struct.pack('<i8', base.now_ms()) .. by)
    end
    if redis.call('ZCARD', base.key('lists')) > LISTS_MAX then
        redis.call('HDEL', base.key('list'), redis.call('ZPOPMIN', base.key('lists'))[1])
    end
    base.put('list', list)
    base.put('list_ms', base.now_ms())
    base.put('list_by', by)
end

local function add_version(l, d)
    redis.call('HSET', lanes.key(l, 'v'), l.new_version + 1, struct.pack('<I8', 0) .. d.packed)
    lanes.add(l, 'new_version', 1)
    lanes.set(l, 'new', d.packed)
end

local function add_lane(d)
    local start = base.get('head')
    if base.get('lanes_made') == 0 then
        start = 0
    elseif lanes.definition(d.packed).backfill then
        start = base.get('first') - 1
    end
    lanes.make(d.url, d.packed, start)
end

-- Returns how many were added, changed, retired, unchanged.
local function put_in_force(defs, listed)
    local added, changed, retired, unchanged, there = 0, 0, 0, 0, {}
    for _, l in ipairs(lanes.live()) do
        if listed[l.url] then
            there[l.url] = l
        else
            rows.retire(l)
            retired = retired + 1
        end
    end
    for _, d in ipairs(defs) do
        local l = there[d.url]
        if not l then
            add_lane(d)
            added = added + 1
        elseif l.new == d.packed then
            unchanged = unchanged + 1
        else
            add_version(l, d)
            changed = changed + 1
        end
    end
    if added + changed + retired > 0 then
        base.add('registry_version', 1)
        base.add('news', 1)
    end
    return added, changed, retired, unchanged
end

local refused = base.begin()
if refused then
    return refused
end
local u = base.request()
local force, by = wire.u8(u) == 1, wire.str(u)
local defs, listed = read_definitions(u), {}
if not defs then
    return base.refuse(base.INVALID, 'a malformed list of relays')
end
for _, d in ipairs(defs) do
    if listed[d.url] then
        return base.refuse(base.INVALID, d.url .. ' is listed twice')
    end
    listed[d.url] = true
end
local list = identity(defs)
local again = base.text('list') == list
local replaced = not again and redis.call('HGET', base.key('list'), list)
if replaced and not force then
    base.finish()
    return stale(replaced)
end
if not again then
    replace_list(list, by)
end
local added, changed, retired, unchanged = put_in_force(defs, listed)
leases.load() -- new lanes are free from now on
local reply = base.reply(struct.pack('<I4I4I4I4I8', added, changed, retired, unchanged, base.get('registry_version')))
base.finish()
return reply
