#!lua flags=allow-oom
-- needs: base log lanes jobs rows
-- Holds or releases the lane of one relay: an operator's word, which outranks the list.
local refused = base.begin()
if refused then
    return refused
end
local u = base.request()
local url, held, from_now = wire.str(u), wire.u8(u) == 1, wire.u8(u) == 1
wire.str(u) -- who asks: the client logs it
if wire.is_bad(u) then
    return base.refuse(base.INVALID, 'a malformed request')
end
local l = lanes.of_url(url)
if not l then
    base.finish()
    return base.refuse(base.NOT_FOUND)
end
local before, word, given_up = lanes.held(l), held and 1 or 2, 0
local changed = l.hold ~= word
lanes.set(l, 'hold', word)
if lanes.held(l) ~= before then
    base.add('news', 1)
end
if not held and from_now then
    given_up = rows.give_up(l, base.get('head'), rows.RELEASED)
end
local reply = base.reply(struct.pack('<I8I8B', lanes.depth(l), given_up, (changed or given_up > 0) and 1 or 0))
base.finish()
return reply
