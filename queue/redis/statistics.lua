#!lua flags=allow-oom
-- needs: base log lanes stat
-- One page of statistics: lanes that are not retired and changed since a version, ascending.
local function relay(l, calm)
    local flat, paths, by = redis.call('HGETALL', lanes.key(l, 'stat')), {}, {}
    for i = 1, #flat, 2 do
        paths[#paths + 1] = flat[i]
        by[flat[i]] = flat[i + 1]
    end
    table.sort(paths)
    local out = { struct.pack('<I4', l.number) .. wire.pack_str(l.url) .. struct.pack('<I4', #paths) }
    for _, path in ipairs(paths) do
        local w = stat.read(by[path])
        if not calm then
            stat.roll(w)
        end
        out[#out + 1] = stat.show(path, w)
    end
    return table.concat(out)
end

local refused = base.begin()
if refused then
    return refused
end
local u = base.request()
local since, after = wire.u64(u), wire.u32(u)
if wire.is_bad(u) then
    return base.refuse(base.INVALID, 'a malformed request')
end
if since > base.get('observed') then
    since = 0
end
local numbers, out, next_page, last = {}, {}, 0, 0
for _, at in ipairs(redis.call('ZRANGEBYSCORE', base.key('stat'), '(' .. since, '+inf')) do
    numbers[#numbers + 1] = tonumber(at)
end
table.sort(numbers)
local calm = stat.is_calm()
for _, number in ipairs(numbers) do
    local l = number > after and lanes.get(number)
    if l and l.retired == 0 then
        if #out == stat.PAGE then
            next_page = last
            break
        end
        out[#out + 1] = relay(l, calm)
        last = number
    end
end
local reply = base.reply(struct.pack('<i8I8I4I4', base.now_ms(), base.get('observed'), next_page, #out) ..
    table.concat(out))
base.finish()
return reply
