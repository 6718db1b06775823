-- How positions ended at a lane, what was before that, and what is asked for once more.
-- Needs: base log lanes jobs.
--
-- p:lane:<n>:rows holds one member a row, scored by the row's last position: the row as on the
-- wire, then '<I8B' job, asked + 2 * run. Rows never overlap. Runs are expired, or purged then: what
-- was given up without having been tried. One grows, so its times are not those of each position.
-- p:lane:<n>:hist  position -> earlier failed rows, each '<I4' length and the row as on the wire
-- p:lane:<n>:req   positions that are asked for, by the request's number
-- p:lane:<n>:asked positions whose row's turn in a job has come
local rows = { HEAD = '<I8I8BBI4i8i8BB', HISTORY_MAX = 8, REQUEUE_PAUSE_MS = 60000,
    SKIPPED = 0, FAILED = 1, EXPIRED = 2, PURGED = 3, END_COUNT = 4,
    RETENTION = 17, LANE_MAX = 18, RETIRED = 19, RELEASED = 20 }
local counted = { [0] = 'skipped', 'failed', 'expired' }

-- A row: from to ending cls attempts first last route family text job(0: none) asked(0, 1) run(0, 1:
-- a run, or a part of one).
function rows.wire(r)
    return struct.pack(rows.HEAD, r.from, r.to, r.ending, r.cls, r.attempts, r.first, r.last, r.route,
        r.family) .. wire.pack_str(r.text)
end

-- From a reader, as on the wire.
function rows.read(u)
    local r = { job = 0, asked = 0, run = 0 }
    r.from, r.to, r.ending, r.cls = wire.u64(u), wire.u64(u), wire.u8(u), wire.u8(u)
    r.attempts, r.first, r.last = wire.u32(u), wire.i64(u), wire.i64(u)
    r.route, r.family, r.text = wire.u8(u), wire.u8(u), wire.str(u)
    return r
end

local function row_of(raw)
    if not raw then
        return nil
    end
    local r = { raw = raw }
    local at
    r.from, r.to, r.ending, r.cls, r.attempts, r.first, r.last, r.route, r.family, at =
        struct.unpack(rows.HEAD, raw)
    r.text = string.sub(raw, at + 4, -10)
    local flags
    r.job, flags = struct.unpack('<I8B', raw, #raw - 8)
    r.asked, r.run = flags % 2, math.floor(flags / 2)
    return r
end

function rows.count(r)
    return r.to - r.from + 1
end

-- The row that covers `pos`; nil.
function rows.find(l, pos)
    if l.nrows == 0 then
        return nil
    end
    local r = row_of(redis.call('ZRANGEBYSCORE', lanes.key(l, 'rows'), pos, '+inf', 'LIMIT', 0, 1)[1])
    return r and r.from <= pos and r or nil
end

-- At most `max` rows that reach above `pos`, ascending.
function rows.above(l, pos, max)
    if l.nrows == 0 then
        return {}
    end
    local out = redis.call('ZRANGEBYSCORE', lanes.key(l, 'rows'), '(' .. pos, '+inf', 'LIMIT', 0, max)
    for i = 1, #out do
        out[i] = row_of(out[i])
    end
    return out
end

-- The lane has something of its own at `pos`, to be forgotten with it.
local function refer(l, pos)
    local known = redis.call('HGET', base.key('refs'), pos) or ''
    for at = 1, #known, 4 do
        if struct.unpack('<I4', known, at) == l.number then
            return
        end
    end
    redis.call('HSET', base.key('refs'), pos, known .. struct.pack('<I4', l.number))
end

local function hold(l, r, by)
    if redis.call('HINCRBY', base.key('holds'), r.from, by) <= 0 then
        redis.call('HDEL', base.key('holds'), r.from)
        lanes.loosen(r.from)
    end
end

local function copy(r, from, to)
    local c = {}
    for k, v in pairs(r) do
        c[k] = v
    end
    c.from, c.to = from, to
    return c
end

-- Counts what a row is, when it comes (by 1) or goes (by -1).
local function account(l, r, by)
    lanes.add(l, 'nrows', by)
    if counted[r.ending] then
        lanes.add(l, counted[r.ending], by * rows.count(r))
    end
    if r.to > r.from then
        lanes.add(l, 'runs', by)
    end
    if r.ending == rows.FAILED then
        hold(l, r, by)
    end
    if r.job ~= 0 and r.asked == 1 then
        lanes.add(l, 'jobbed', by)
    end
end

local function insert(l, r)
    r.raw = rows.wire(r) .. struct.pack('<I8B', r.job, r.asked + 2 * r.run)
    redis.call('ZADD', lanes.key(l, 'rows'), r.to, r.raw)
    account(l, r, 1)
    if r.from == r.to then
        refer(l, r.from)
    end
    if r.job ~= 0 and r.asked == 1 then
        redis.call('ZADD', lanes.key(l, 'asked'), r.from, r.from)
    elseif r.job ~= 0 then
        redis.call('ZADD', jobs.key(r.job, l.number), r.to, r.from)
        jobs.wait(jobs.get(r.job), l.number, rows.count(r))
    end
    return r
end

local function erase(l, r)
    redis.call('ZREM', lanes.key(l, 'rows'), r.raw)
    account(l, r, -1)
    if r.job ~= 0 and r.asked == 1 then
        redis.call('ZREM', lanes.key(l, 'asked'), r.from)
    elseif r.job ~= 0 and rows.job_of(l, r) ~= 0 then
        redis.call('ZREM', jobs.key(r.job, l.number), r.from)
        jobs.wait(jobs.get(r.job), l.number, -rows.count(r))
    end
end

-- The job it is in; 0. Jobs are forgotten, and what waits in them is dropped, without touching rows.
function rows.job_of(l, r)
    if r.job == 0 then
        return 0
    end
    local j = jobs.get(r.job)
    if not j or (r.asked == 0 and (j.state == jobs.CANCELLED or l.retired == 1)) then
        return 0
    end
    return r.job
end

-- Brings what the row says of its job up to date.
local function true_job(l, r)
    if r.job ~= 0 and rows.job_of(l, r) == 0 then
        local fresh = copy(r, r.from, r.to)
        erase(l, r)
        fresh.job, fresh.asked = 0, 0
        return insert(l, fresh)
    end
    return r
end

-- Makes from … to, which it covers, a row of its own. Returns it.
function rows.carve(l, r, from, to)
    r = true_job(l, r)
    if r.from == from and r.to == to then
        return r
    end
    erase(l, r)
    if r.from < from then
        insert(l, copy(r, r.from, from - 1))
    end
    if to < r.to then
        insert(l, copy(r, to + 1, r.to))
    end
    return insert(l, copy(r, from, to))
end

-- The row, a whole one, leaves its job, if it is in one. Returns the row as it is then.
function rows.settle(l, r, how)
    local number = rows.job_of(l, r)
    if r.job == 0 then
        return r
    end
    local j = number ~= 0 and jobs.get(number)
    local fresh = copy(r, r.from, r.to)
    erase(l, r)
    fresh.job, fresh.asked = 0, 0
    if j then
        jobs.add(j, r.asked == 1 and 'asked' or 'waiting', -rows.count(r))
        jobs.add(j, how, rows.count(r))
        jobs.finish_when_done(j)
    end
    return insert(l, fresh)
end

-- Into the job: a whole row that is in none.
function rows.join(l, r, j)
    r = true_job(l, r)
    local fresh = copy(r, r.from, r.to)
    erase(l, r)
    fresh.job, fresh.asked = j.number, 0
    jobs.add(j, 'total', rows.count(r))
    jobs.add(j, 'waiting', rows.count(r))
    return insert(l, fresh)
end

-- Its turn has come: a row of one position that waits.
function rows.turn(l, r, j)
    local fresh = copy(r, r.from, r.to)
    erase(l, r)
    fresh.asked = 1
    jobs.add(j, 'waiting', -1)
    jobs.add(j, 'asked', 1)
    return insert(l, fresh)
end

-- Another ending for a whole row: a purge.
function rows.purge(l, r)
    r = true_job(l, r)
    local fresh = copy(r, r.from, r.to)
    erase(l, r)
    fresh.ending = rows.PURGED
    return insert(l, fresh)
end

-- Removes the row at `pos`, if any, which leaves its job.
function rows.drop(l, pos, how)
    local r = rows.find(l, pos)
    if r then
        erase(l, rows.settle(l, rows.carve(l, r, pos, pos), how))
    end
end

-- Replaces the row of the position (r.from == r.to), which leaves its job.
function rows.put(l, r)
    rows.drop(l, r.from, r.ending == rows.FAILED and jobs.FAILED or jobs.DROPPED)
    r.job, r.asked = 0, 0
    insert(l, r)
end

-- It failed then: the id is known for retention longer.
function rows.note_failure(pos, last_ms)
    local before = tonumber(redis.call('HGET', base.key('failedms'), pos) or '0')
    if last_ms <= before then
        return
    end
    redis.call('HSET', base.key('failedms'), pos, last_ms)
    local member = struct.pack('>I8', pos)
    local done = redis.call('ZSCORE', base.key('done'), member)
    if done and tonumber(done) < last_ms then
        redis.call('ZADD', base.key('done'), last_ms, member)
    end
end

-- Keeps the position's row, if it failed, as something that was.
function rows.remember(l, pos)
    local r = rows.find(l, pos)
    if not r or r.ending ~= rows.FAILED then
        return
    end
    local list = rows.history(l, pos)
    list[#list + 1] = rows.wire(r)
    local out = {}
    for i = math.max(1, #list - rows.HISTORY_MAX + 1), #list do
        out[#out + 1] = wire.pack_str(list[i])
    end
    redis.call('HSET', lanes.key(l, 'hist'), pos, table.concat(out))
    refer(l, pos)
end

-- Earlier failed rows, as on the wire, oldest first.
function rows.history(l, pos)
    local out, raw = {}, redis.call('HGET', lanes.key(l, 'hist'), pos)
    local u = wire.reader(raw or '')
    while u.at <= #u.s do
        out[#out + 1] = wire.str(u)
    end
    return out
end

-- Row and history go.
function rows.forget(l, pos)
    rows.drop(l, pos, jobs.DROPPED)
    redis.call('HDEL', lanes.key(l, 'hist'), pos)
end

-- All rows of from … to go, histories do not.
function rows.forget_range(l, from, to)
    while true do
        local r = rows.above(l, from - 1, 1)[1]
        if not r or r.from > to then
            return
        end
        local last = math.min(r.to, to)
        erase(l, rows.settle(l, rows.carve(l, r, math.max(r.from, from), last), jobs.DROPPED))
        from = last + 1
    end
end

-- At most `max` rows of a lane that is forgotten go, with what they hold. Returns how many.
function rows.clear(l, max)
    local list = rows.above(l, 0, max)
    for _, r in ipairs(list) do
        erase(l, r)
    end
    return #list
end

-- What lies in from … to was delivered: rows go (remembered when they failed), but at positions in
-- `but` (a set).
function rows.deliver(l, from, to, but)
    local skipped = {}
    for pos in pairs(but) do
        if pos >= from and pos <= to then
            skipped[#skipped + 1] = pos
        end
    end
    table.sort(skipped)
    skipped[#skipped + 1] = to + 1
    local at = from
    for _, stop in ipairs(skipped) do
        while at < stop do
            local r = rows.above(l, at - 1, 1)[1]
            if not r or r.from >= stop then
                break
            end
            local first, last = math.max(r.from, at), math.min(r.to, stop - 1)
            if first == last then
                rows.remember(l, first)
            end
            erase(l, rows.settle(l, rows.carve(l, r, first, last), jobs.DELIVERED))
            at = last + 1
        end
        at = stop + 1
    end
end

-- ---- asked for once more

-- The request's number; nil: nobody asked for `pos`, or that was taken up.
function rows.request(l, pos)
    local n = l.reqs > 0 and redis.call('ZSCORE', lanes.key(l, 'req'), pos)
    return n and tonumber(n) or nil
end

-- { number, pos } each, ascending by number, at most `max` (-1: all).
function rows.requests(l, max)
    local out = {}
    if l.reqs == 0 then
        return out
    end
    local flat = redis.call('ZRANGE', lanes.key(l, 'req'), 0, max < 0 and -1 or max - 1, 'WITHSCORES')
    for i = 1, #flat, 2 do
        out[#out + 1] = { number = tonumber(flat[i + 1]), pos = tonumber(flat[i]) }
    end
    return out
end

function rows.ask(l, pos)
    lanes.add(l, 'last_request', 1)
    redis.call('ZADD', lanes.key(l, 'req'), l.last_request, pos)
    lanes.add(l, 'reqs', 1)
    base.add('news', 1)
    lanes.wanted_set = nil
end

function rows.unask(l, pos)
    if l.reqs > 0 and redis.call('ZREM', lanes.key(l, 'req'), pos) == 1 then
        lanes.add(l, 'reqs', -1)
        lanes.loosen(pos)
    end
end

-- Asks for `pos` once more when it failed, expired or was purged on this lane. True: it does.
function rows.requeue(l, pos)
    local r = l.retired == 0 and rows.find(l, pos)
    if not r or r.ending == rows.SKIPPED or lanes.exception(l, pos) or rows.request(l, pos) then
        return false
    end
    rows.ask(l, pos)
    return true
end

function rows.requeued_ms(pos)
    return tonumber(redis.call('HGET', base.key('requeued'), pos) or '0')
end
function rows.note_requeued(pos)
    redis.call('HSET', base.key('requeued'), pos, base.now_ms())
end

-- Somebody sent `pos` again, or it failed, less than retention ago on this lane.
function rows.asked_lately(l, pos)
    local r = rows.find(l, pos)
    local last = r and r.run == 0 and r.last or 0 -- of a run it is the last one's; asking came later anyway
    return r ~= nil and math.max(last, rows.requeued_ms(pos)) + base.retention_ms > base.now_ms()
end

-- Requests go whose row is gone: what they were about has arrived meanwhile.
function rows.drop_void_requests(l)
    for _, q in ipairs(rows.requests(l, -1)) do
        if not rows.find(l, q.pos) then
            rows.unask(l, q.pos)
        end
    end
end

-- What was asked for in a job and is neither a request nor an exception any more.
function rows.sweep(l)
    if l.jobbed == 0 then
        return
    end
    for _, at in ipairs(redis.call('ZRANGE', lanes.key(l, 'asked'), 0, -1)) do
        local pos = tonumber(at)
        local r = rows.find(l, pos)
        if r and not rows.request(l, pos) and not lanes.exception(l, pos) then
            rows.settle(l, r, jobs.DROPPED)
        end
    end
end

-- All of the lane's rows leave their jobs: it retires (before it is marked so).
function rows.leave_jobs(l)
    for _, at in ipairs(l.jobbed > 0 and redis.call('ZRANGE', lanes.key(l, 'asked'), 0, -1) or {}) do
        local r = rows.find(l, tonumber(at))
        if r then
            rows.settle(l, r, jobs.DROPPED)
        end
    end
    for _, j in ipairs(jobs.all()) do
        if j.state ~= jobs.CANCELLED then
            jobs.drop_waiting(j, l.number)
        end
    end
end

-- ---- giving up

local function expired(from, to, attempts, cls)
    return { from = from, to = to, ending = rows.EXPIRED, cls = cls, attempts = attempts, route = 0,
        family = 0, first = base.now_ms(), last = base.now_ms(), text = '', job = 0, asked = 0, run = 0 }
end

-- A run goes on where the last one of its class ended: an outage is one row.
local function add_run(l, r)
    local last = rows.find(l, r.from - 1)
    r.run = 1
    if last and last.run == 1 and last.ending == r.ending and last.cls == r.cls and last.job == 0 then
        r.from, r.first = last.from, last.first
        erase(l, last)
    end
    insert(l, r)
end

-- Gives up what is not settled from the lane's position to `to`, and the exceptions there. With
-- RETENTION an exception that was asked for lately stays. Returns how many.
function rows.give_up(l, to, cls)
    local stay, count = {}, 0
    for _, x in ipairs(lanes.exceptions(l)) do
        if x.pos > to or (cls == rows.RETENTION and rows.asked_lately(l, x.pos)) then
            stay[#stay + 1] = x
        else
            rows.put(l, expired(x.pos, x.pos, x.attempts, cls))
            count = count + 1
        end
    end
    if count > 0 then
        lanes.put_exceptions(l, stay)
    end
    local from = lanes.position(l) + 1
    if from <= to then
        add_run(l, expired(from, to, 0, cls))
        count = count + to - from + 1
    end
    if count > 0 and to > l.floor then
        lanes.set(l, 'floor', to)
    end
    if count > 0 then
        base.add('news', 1)
    end
    return count
end

-- The lane's relay is in the list no more: it ends here.
function rows.retire(l)
    rows.give_up(l, base.get('head'), rows.RETIRED)
    lanes.set(l, 'floor', base.get('head'))
    for _, q in ipairs(rows.requests(l, -1)) do
        rows.unask(l, q.pos)
    end
    rows.leave_jobs(l)
    lanes.set(l, 'retired', 1)
    lanes.set(l, 'retired_ms', base.now_ms())
    redis.call('ZREM', base.key('live'), l.number)
    redis.call('ZADD', base.key('retired'), base.now_ms(), l.number)
    lanes.live_list, lanes.wanted_set = nil, nil
end
