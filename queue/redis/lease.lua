#!lua flags=allow-oom
-- needs: base bytes lanes log jobs rows leases plan beat
-- Renews what a publisher has and says what it is to hold: leases_answer, with the grants.

local REQUESTS_MAX = 256 -- handed to an owner at a time; the next are news once these are taken
local NO_REQUESTS = '\0\0\0\0'

local function read_held(u)
    local h = { number = wire.u32(u), epoch = wire.u64(u) }
    local from = u.at
    wire.raw(u, leases.LIVE_SIZE)
    wire.str(u)
    h.live = string.sub(u.s, from, u.at - 1)
    h.give_back = wire.u8(u)
    return h
end

local function read_call(u)
    local call = { id = wire.raw(u, 16), name = wire.str(u), routes = wire.u32(u),
        leaving = wire.u8(u), held = {} }
    local len = wire.u32(u)
    while #call.held < len and not u.bad do
        call.held[#call.held + 1] = read_held(u)
    end
    if wire.is_bad(u) or call.id == leases.NOBODY or call.routes >= 2 ^ plan.ROUTES then
        return nil
    end
    return call
end

local function make_plan()
    local pubs, moved = {}, 0
    for _, p in pairs(leases.pubs) do
        pubs[#pubs + 1] = p
    end
    pubs = plan.make(pubs, leases.list)
    for _, lane in ipairs(leases.list) do
        local wanted = lane.rank and pubs[lane.rank].id or leases.NOBODY
        if wanted ~= lane.wanted then
            lane.wanted = wanted
            leases.touch(lane)
            moved = 1
        end
    end
    base.add('news', moved)
    base.put('leases_planned', 1)
end

-- Sorts what the caller names into its own and what it lost; what it gave back, and what it never
-- heard of, is free then.
local function look_at_held(call)
    local kept, lost, named = {}, {}, {}
    for _, h in ipairs(call.held) do
        local lane = leases.of[h.number]
        if not lane or (not named[h.number] and (lane.holder ~= call.id or lane.epoch ~= h.epoch)) then
            lost[#lost + 1] = struct.pack('<I4', h.number)
        elseif not named[h.number] then
            named[h.number] = true
            if h.give_back == 1 then
                leases.set_free(lane)
            else
                if lane.told ~= leases.TOLD or lane.live ~= h.live then
                    lane.live, lane.told = h.live, leases.TOLD
                    leases.touch(lane)
                end
                kept[#kept + 1] = lane
            end
        end
    end
    for _, lane in ipairs(leases.list) do
        if lane.holder == call.id and not named[lane.number] then
            leases.set_free(lane)
        end
    end
    return kept, lost
end

local function requests(l)
    local out = {}
    for i, q in ipairs(rows.requests(l, REQUESTS_MAX)) do
        out[i] = struct.pack('<I8I8', q.number, q.pos)
    end
    if #out == REQUESTS_MAX then
        base.put('requests_full', 1)
    end
    return struct.pack('<I4', #out) .. table.concat(out)
end

local function grant(lane, id)
    local l = lanes.get(lane.number)
    if l.epoch > 0 and l.progress == 0 then
        lanes.add(l, 'stalls', 1)
    end
    lanes.add(l, 'epoch', 1)
    lanes.set(l, 'seq', 0)
    lanes.set(l, 'progress', 0)
    lane.holder, lane.epoch = id, l.epoch
    leases.touch(lane)
    return struct.pack('<I4I8I8I8I4', l.number, l.epoch, l.start, lanes.position(l), l.def_version) .. l.def ..
        struct.pack('<I4', l.new_version) .. (l.new_version > l.def_version and l.new or '') ..
        struct.pack('<BI4I4', lanes.held(l) and 1 or 0, l.stalls, l.xlen) .. lanes.exceptions_raw(l) ..
        requests(l) .. l.learned
end

-- What is free and the caller's by the plan, as much as one answer takes.
local function grants(id)
    local out = {}
    for _, lane in ipairs(leases.list) do
        if lane.holder == leases.NOBODY and lane.wanted == id then
            if #out == leases.GRANTS_MAX then
                base.add('news', 1) -- the next call brings more
                break
            end
            out[#out + 1] = grant(lane, id)
        end
    end
    return out
end

local function pack_kept(lane, id, floor, version, new, held, asked)
    if not held then
        leases.not_held(lane.number)
    end
    return struct.pack('<I4I8I4B', lane.number, floor, version, new and 1 or 0) .. (new or '') ..
        struct.pack('<BB', held and 1 or 0, lane.wanted ~= id and 1 or 0) .. asked
end

-- Most have no news: they are not loaded, as a holder may have thousands.
local function keep(lane, id)
    local f = redis.call('HMGET', base.p .. ':lane:' .. lane.number, 'floor', 'def_version', 'new_version',
        'reqs', 'hold')
    for i = 1, 5 do
        f[i] = tonumber(f[i]) or 0
    end
    local held = f[5] == 1 or (f[5] == 0 and lane.hold == 1)
    if f[2] == f[3] and f[4] == 0 then
        return pack_kept(lane, id, f[1], f[3], nil, held, NO_REQUESTS)
    end
    local l = lanes.get(lane.number)
    return pack_kept(lane, id, f[1], f[3], f[2] ~= f[3] and l.new, held, requests(l))
end

local function list(parts)
    return struct.pack('<I4', #parts) .. table.concat(parts)
end

local refused = base.begin()
if refused then
    return refused
end
local call = read_call(base.request())
local answer
if not call then
    answer = base.refuse(base.INVALID)
elseif not leases.renew(call) then
    answer = base.refuse(base.FULL)
else
    leases.expire()
    local kept, lost = look_at_held(call)
    if base.get('leases_planned') == 0 then
        make_plan()
    end
    local granted = grants(call.id)
    for i, lane in ipairs(kept) do
        kept[i] = keep(lane, call.id)
    end
    answer = base.reply(struct.pack('<i8I8I8', base.now_ms(), base.get('head'), base.get('registry_version')) ..
        list(granted) .. list(kept) .. list(lost) .. beat.due())
end
base.finish()
return answer
