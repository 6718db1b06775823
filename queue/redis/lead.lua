#!lua flags=allow-oom
-- needs: base
-- Who leads in a role (queue/lead.c). meta, each followed by the role's number: lead_epoch_ lead_id_
-- lead_name_; lead_until_ lead_era_ (when the term ends, by `steady`, and the era that this is from).
local TERM_MS, ROLES, ID_LEN, NAME_MAX = 30000, 1, 16, 79
local NOBODY = string.rep('\0', ID_LEN)

local refused = base.begin()
if refused then
    return refused
end
local u = base.request()
local role, id, name, leaving = wire.u8(u), wire.raw(u, ID_LEN), wire.str(u), wire.u8(u)
if wire.is_bad(u) or role >= ROLES or id == NOBODY or #name > NAME_MAX or leaving > 1 then
    return base.refuse(base.INVALID, 'a malformed request')
end
local function field(part)
    return 'lead_' .. part .. '_' .. role
end
local holder = base.text(field('id'))
local function keep(new_id, new_name)
    base.put(field('id'), new_id)
    base.put(field('name'), new_name)
    holder = new_id
end
local function begin_term()
    base.put(field('until'), base.get('steady') + TERM_MS)
    base.put(field('era'), base.get('era'))
end

if leaving == 1 then
    if holder == id then
        keep('', '')
    end
else
    if holder ~= '' and base.get(field('era')) ~= base.get('era') then
        begin_term() -- after a restart: a whole term to come back
    end
    local over = holder == '' or base.get('steady') >= base.get(field('until'))
    if holder ~= id and over then
        base.add(field('epoch'), 1)
        keep(id, name)
    end
    if holder == id then
        begin_term()
    end
end
local reply = base.reply(struct.pack('<BI8', holder == id and 1 or 0, base.get(field('epoch'))) ..
    wire.pack_str(base.text(field('name'))) .. struct.pack('<i8', base.now_ms()))
base.finish()
return reply
