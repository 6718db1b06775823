#!lua flags=allow-oom
-- needs: base log lanes jobs rows
-- failed: one page of a walk over all rows that a filter means, lane by lane, by position.
-- A page looks at LOOKS_MAX positions, and asks for COST_MAX of them what it needs to know, no more:
-- the others wait meanwhile.
local refused = base.begin()
if refused then
    return refused
end
local LOOKS_MAX, COST_MAX, PAGE_MAX, JOBS_MAX, ROWS_AT_ONCE = 20000, 2000, 1000, 256, 100
local LIST, REPLAY, PURGE = 0, 2, 3

-- ---- the call

local function read_ids(u)
    if wire.u8(u) == 0 then
        return nil
    end
    local ids, len = {}, wire.u32(u)
    local raw = wire.raw(u, 32 * len)
    for at = 1, u.bad and 0 or #raw, 32 do
        ids[string.sub(raw, at, at + 31)] = true
    end
    return ids
end

local function read_filter(u)
    local f = {}
    f.url, f.classes, f.reason = wire.str(u), wire.u32(u), string.lower(wire.str(u))
    f.has_kind, f.kind, f.has_author, f.author = wire.u8(u), wire.u32(u), wire.u8(u), wire.raw(u, 32)
    f.ids = read_ids(u)
    f.older_ms, f.newer_ms, f.min_attempts = wire.i64(u), wire.i64(u), wire.u32(u)
    f.needs_entry = f.has_kind == 1 or f.has_author == 1 or f.ids ~= nil
    return f
end

local function read_call()
    local u, c = base.request(), {}
    c.what, c.filter = wire.u8(u), read_filter(u)
    c.phase, c.lane, c.pos = wire.u32(u), wire.u64(u), wire.u64(u)
    c.limit, c.job, c.token, c.rate = wire.u32(u), wire.u64(u), wire.raw(u, 8), wire.u32(u)
    c.text, c.by = wire.str(u), wire.str(u)
    if c.limit == 0 or c.limit > PAGE_MAX then
        c.limit = PAGE_MAX
    end
    return not wire.is_bad(u) and c.what <= PURGE and c or nil
end

-- ---- the job that a page is for

-- False: as many as there may be, and none is over.
local function make_room()
    local oldest
    local all = jobs.all()
    for _, j in ipairs(all) do
        if jobs.is_over(j) and (not oldest or j.ended_ms < oldest.ended_ms) then
            oldest = j
        end
    end
    if #all >= JOBS_MAX and oldest then
        jobs.forget(oldest)
    end
    return #all < JOBS_MAX or oldest ~= nil
end

local function make_job(c)
    base.add('jobs_made', 1)
    local j = { dirty = {} }
    local number = base.get('jobs_made')
    jobs.cache[number] = j
    for field, value in pairs({ number = number, state = jobs.COLLECTING, made_ms = base.now_ms(),
        ended_ms = 0, rate = c.rate, total = 0, waiting = 0, asked = 0, delivered = 0, failed = 0, dropped = 0,
        last_lane = 0, credit = 0, stepped = 0, paged = 1, clock = 0, era = base.get('era'), text = c.text,
        by = c.by, token = c.token }) do
        jobs.set(j, field, value)
    end
    redis.call('ZADD', base.key('jobs'), number, number)
    return j
end

-- The job, or nil and what is wrong.
local function page_job(c)
    local found = c.job ~= 0 and jobs.get(c.job) or nil
    for _, j in ipairs(c.job == 0 and jobs.all() or {}) do
        found = j.token == c.token and j or found
    end
    if not found and c.job == 0 then
        if not make_room() then
            return nil, base.FULL
        end
        return make_job(c)
    end
    if not found or found.state == jobs.CANCELLED then
        return nil, base.NOT_FOUND
    end
    return found
end

-- ---- which are meant

local function row_meant(f, r)
    local age_ms = base.now_ms() - r.last
    if r.ending ~= rows.FAILED and (r.ending ~= rows.EXPIRED or f.classes == 0) then
        return false
    end
    return (f.classes == 0 or bit.band(f.classes, bit.lshift(1, r.cls)) ~= 0) and
        string.find(string.lower(r.text), f.reason, 1, true) ~= nil and
        r.attempts >= f.min_attempts and (f.older_ms == 0 or age_ms > f.older_ms) and
        (f.newer_ms == 0 or age_ms < f.newer_ms)
end

local function entry_meant(f, e)
    return (f.has_kind == 0 or e.kind == f.kind) and (f.has_author == 0 or e.author == f.author) and
        (not f.ids or f.ids[e.id] == true)
end

-- ---- what is done with them

-- A walk: call, job (of a replay), out (rows of a list), groups, looks, lane and pos (the last looked at).
local function list(w, l, r, pos, e)
    local one = struct.pack('<I8I8', pos, pos) .. string.sub(rows.wire(r), 17)
    w.out[#w.out + 1] = struct.pack('<I4c32c32I4i8', l.number, e.id, e.author, e.kind, e.accepted_ms) .. one ..
        struct.pack('<BI8', l.retired == 0 and log.has(pos) and 1 or 0, rows.job_of(l, r))
end

local function group(w, l, cls)
    local key = l.number * 256 + cls
    local g = w.groups[key]
    if not g then
        g = { lane = l.number, cls = cls, count = 0, gone = 0, busy = 0 }
        w.groups[key] = g
    end
    return g
end

-- Counts one position. True: it is to be put into the job, or purged.
local function count(w, l, r, pos)
    local g, job = group(w, l, r.cls), rows.job_of(l, r)
    local gone = job == 0 and (l.retired == 1 or not log.has(pos))
    g.count = g.count + 1
    if gone then
        g.gone = g.gone + 1
    end
    if job ~= 0 and not (w.job and w.job.number == job) then
        g.busy = g.busy + 1
    end
    return job == 0 and (w.call.what == PURGE or (w.call.what == REPLAY and not gone))
end

-- Parts of a run stay together.
local function change(w, l, r, from, to)
    local part = rows.carve(l, r, from, to)
    if w.call.what == REPLAY then
        rows.join(l, part, w.job)
    else
        rows.purge(l, part)
    end
end

local function is_full(w)
    return w.looks >= LOOKS_MAX or w.cost >= COST_MAX or #w.out >= w.call.limit
end

-- Looks at the row's positions above `above`. True: the page is full before its end.
local function look_at(w, l, r, above)
    local f, from, parts = w.call.filter, nil, {}
    local meant = row_meant(f, r)
    local pos, full = meant and math.max(r.from, above + 1) or r.to, false -- else one look for all of it
    w.cost = w.cost + 1
    while pos <= r.to do
        if is_full(w) then
            full = true
            break
        end
        w.looks, w.lane, w.pos = w.looks + 1, l.number, pos
        local e = meant and (f.needs_entry or w.call.what == LIST) and log.entry(pos)
        if e or pos < base.get('first') then
            w.cost = w.cost + 1
        end
        local changes = false
        if meant and (not e or entry_meant(f, e)) then
            if w.call.what == LIST then
                list(w, l, r, pos, e)
            else
                changes = count(w, l, r, pos)
            end
        end
        if changes and not from then
            from = pos
        elseif not changes and from then
            parts[#parts + 1] = { from, pos - 1 }
            from = nil
        end
        pos = pos + 1
    end
    if from then
        parts[#parts + 1] = { from, pos - 1 }
    end
    for _, part in ipairs(parts) do
        change(w, l, rows.find(l, part[1]), part[1], part[2])
    end
    return full
end

-- True: there is more.
local function walk_lane(w, l, above)
    local url = w.call.filter.url
    if url ~= '' and l.url ~= url then
        return l.nrows > 0 and is_full(w)
    end
    while true do
        local some = rows.above(l, above, ROWS_AT_ONCE)
        for _, r in ipairs(some) do
            if is_full(w) or look_at(w, l, r, above) then
                return true
            end
        end
        if #some == 0 then
            return false
        end
        above = w.pos
    end
end

local function walk(w)
    for _, l in ipairs(lanes.all()) do
        if w.phase == 0 or l.number >= w.lane then
            if walk_lane(w, l, w.phase ~= 0 and l.number == w.lane and w.pos or 0) then
                w.phase = w.looks > 0 and 1 or w.phase
                return true
            end
        end
    end
    w.phase = w.looks > 0 and 1 or w.phase
    return false
end

-- ---- the answer

local function pack_groups(groups)
    local keys = {}
    for key in pairs(groups) do
        keys[#keys + 1] = key
    end
    table.sort(keys)
    for i, key in ipairs(keys) do
        local g = groups[key]
        keys[i] = struct.pack('<I4BI8I8I8', g.lane, g.cls, g.count, g.gone, g.busy)
    end
    return struct.pack('<I4', #keys) .. table.concat(keys)
end

local function pack_page(w, more)
    return base.reply(struct.pack('<I4', #w.out) .. table.concat(w.out) .. pack_groups(w.groups) ..
        struct.pack('<I8BI4I8I8', w.job and w.job.number or 0, more and 1 or 0, w.phase, w.lane, w.pos))
end

local function answer()
    local c = read_call()
    if not c then
        return base.refuse(base.INVALID, 'this can not be read')
    end
    local w = { call = c, out = {}, groups = {}, looks = 0, cost = 0, phase = c.phase, lane = c.lane, pos = c.pos }
    if c.what == REPLAY then
        local wrong
        w.job, wrong = page_job(c)
        if not w.job then
            return base.refuse(wrong)
        end
        if w.job.state ~= jobs.COLLECTING then
            return pack_page(w, false) -- a page that came before
        end
        jobs.set(w.job, 'paged', 1)
    end
    local more = walk(w)
    if w.job and not more then
        jobs.set(w.job, 'state', jobs.RUNNING)
        jobs.finish_when_done(w.job)
    end
    return pack_page(w, more)
end

local reply = answer()
base.finish()
return reply
