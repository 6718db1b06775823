#!lua flags=allow-oom
-- needs: base bytes log lanes jobs rows facts keep leases
-- housekeep: what the queue does in time. One doer at a time: whoever has the `housekeeper` lease,
-- which this script grants, renews or refuses in the same step as the work.
--
-- ARGV: 5 boot_ms of the caller, 6 its id, 7 what ('1' all, '0' leases and replay jobs, '-' the clock
-- alone), 8 which boot of which machine boot_ms counts from. Limits come from the caller as with any call
-- (ARGV[4]). Answers { held, left_ms, more, now_ms, head, news, moved, lanes }.
--
-- meta: house_id house_since house_until (the lease, by TIME); steady (ms, a clock that nobody sets:
-- it moves as the housekeeper's boot clock does); house_boot house_boot_ms house_time (its last
-- reading); look_time look_steady calm_until (jumps of the wall clock); expired (up to there all is
-- older than retention).
local refused = base.begin()
if refused then
    return refused
end
local TERM_MS, WORK_MAX, FORGET_MAX, SCAN_MAX = 10000, 500, 200, 4000
local JUMP_MS, CALM_MS, APART_MS = 15000, 3600000, 1000
local STEP_MAX, COST, DT_MAX_MS, COLLECT_MS, REQUESTS_MAX = 512, 1000000, 1000000, 60000, 256
local CLOCK_WRITE_MS, STALL_MS = 1000, 2000
local what, boot_ms, now_ms = ARGV[7], tonumber(ARGV[5]), base.now_ms()
local steady_stored = base.get('steady')
local same_house = base.text('house_id') == ARGV[6] and base.text('house_boot') == ARGV[8]

-- ---- the lease and the clocks

-- A term counts by TIME; when that fell behind its start, nobody knows how long it still would be.
local function take_lease()
    local free = base.text('house_id') == '' or now_ms >= base.get('house_until') or
        now_ms < base.get('house_since')
    if not free and base.text('house_id') ~= ARGV[6] then
        return false
    end
    base.put('house_id', ARGV[6])
    base.put('house_since', now_ms)
    base.put('house_until', now_ms + TERM_MS)
    return true
end

local function move_clock()
    local passed = boot_ms - base.get('house_boot_ms')
    if base.text('house_boot') ~= ARGV[8] then
        passed = base.text('house_boot') == '' and 0 or math.min(now_ms - base.get('house_time'), JUMP_MS)
    end
    base.put('steady', base.get('steady') + math.max(passed, 0))
    base.put('house_boot', ARGV[8])
    base.put('house_boot_ms', boot_ms)
    base.put('house_time', now_ms)
end

-- A wall clock that went further than the machine was up was set: nothing is thrown away on its word
-- for an hour.
local function may_expire()
    local steady, looked = base.get('steady'), base.get('look_time')
    if looked ~= 0 and now_ms - looked > steady - base.get('look_steady') + APART_MS then
        base.put('calm_until', steady + CALM_MS)
    end
    if now_ms < looked then
        base.put('expired', 0)
    end
    base.put('look_time', now_ms)
    base.put('look_steady', steady)
    return steady >= base.get('calm_until')
end

-- ---- expiry

-- Moves the mark over what is older than retention. False: there is more of it.
local function find_expired()
    local pos = math.max(base.get('expired') + 1, base.get('first'))
    for _ = 1, SCAN_MAX do
        local e = pos <= base.get('head') and log.entry(pos)
        if not e or e.accepted_ms + base.retention_ms > now_ms then
            return true
        end
        base.put('expired', pos)
        pos = pos + 1
    end
    return false
end

-- It has something that is to be given up.
local function behind(l, to)
    if lanes.position(l) < to then
        return true
    end
    for _, x in ipairs(l.xlen > 0 and l.xlow <= to and lanes.exceptions(l) or {}) do
        if x.pos <= to and not rows.asked_lately(l, x.pos) then
            return true
        end
    end
    return false
end

local function expire()
    local to = base.get('expired')
    if to < base.get('first') then
        return
    end
    for _, l in ipairs(lanes.low(to)) do
        if behind(l, to) then
            rows.give_up(l, to, rows.RETENTION)
        end
    end
end

-- What was asked for once more is older than retention already: it has as long again from then on.
local function expire_asked(l)
    for _, q in ipairs(rows.requests(l, REQUESTS_MAX)) do
        if not rows.asked_lately(l, q.pos) then
            rows.unask(l, q.pos)
        end
    end
    local last, first = 0, base.get('first')
    for _, x in ipairs(l.xlen > 0 and l.xlow < first and lanes.exceptions(l) or {}) do
        if x.pos < first and not rows.asked_lately(l, x.pos) then
            last = x.pos
        end
    end
    if last > 0 then
        rows.give_up(l, last, rows.RETENTION)
    end
    rows.sweep(l)
end

-- ---- all that goes

-- True: there is more.
local function clean(old_goes)
    if old_goes then
        if not find_expired() then
            return true
        end
        expire()
        for _, l in ipairs(lanes.in_set('asking')) do
            expire_asked(l)
        end
        for _, l in ipairs(lanes.low(base.get('first') - 1)) do
            expire_asked(l)
        end
    end
    keep.fit_lanes()
    local left = { keep.trim(WORK_MAX), keep.drop_loose(WORK_MAX), keep.drop_failed(WORK_MAX) }
    if old_goes then
        left[#left + 1] = keep.forget_due(FORGET_MAX)
        left[#left + 1] = keep.drop_retired(WORK_MAX)
    end
    for _, work in ipairs(left) do
        if work <= 0 then
            return true
        end
    end
    return false
end

-- ---- replay jobs: each earns its rate by the steady clock; lanes take turns, each with its lowest
-- position

local function earn(j)
    local second, steady = j.rate * 1000, base.get('steady')
    local dt_ms = math.min(steady - j.clock, DT_MAX_MS)
    local credit = math.min(j.credit + dt_ms * j.rate, math.max(second, COST))
    jobs.set(j, 'credit', j.stepped == 1 and credit or COST)
    jobs.set(j, 'stepped', 1)
    jobs.set(j, 'clock', steady)
end

local function has_turn(j, l)
    return l and l.retired == 0 and l.reqs < REQUESTS_MAX and
        redis.call('ZCARD', jobs.key(j.number, l.number)) > 0
end

-- The lane that has the next turn, of `list` (ascending); those that are out leave it.
local function next_lane(j, list)
    local around = nil
    local i = 1
    while i <= #list do
        local l = list[i]
        if (not around or l.number > j.last_lane) and not has_turn(j, l) then
            table.remove(list, i)
        elseif l.number > j.last_lane then
            return l
        else
            around = around or l
            i = i + 1
        end
    end
    return around
end

local function take_turn(j, l)
    local from = tonumber(redis.call('ZRANGE', jobs.key(j.number, l.number), 0, 0)[1])
    local r = rows.carve(l, rows.find(l, from), from, from)
    jobs.set(j, 'last_lane', l.number)
    if not log.has(from) then
        rows.settle(l, r, jobs.DROPPED)
        return
    end
    if rows.requeue(l, from) then
        rows.note_requeued(from)
    end
    rows.turn(l, r, j)
    if j.rate > 0 then
        jobs.add(j, 'credit', -COST)
    end
end

local function step(j)
    earn(j)
    local list = {}
    for _, number in ipairs(jobs.lanes(j)) do
        list[#list + 1] = lanes.get(number)
    end
    for _ = 1, STEP_MAX do
        if j.rate > 0 and j.credit < COST then
            return
        end
        local l = next_lane(j, list)
        if not l then
            return
        end
        take_turn(j, l)
    end
end

-- Nobody goes on collecting.
local function is_given_up(j)
    if j.paged == 1 then
        jobs.set(j, 'clock', base.get('steady'))
        jobs.set(j, 'paged', 0)
    end
    return base.get('steady') - j.clock >= COLLECT_MS
end

local function step_job(j)
    local goes = jobs.is_over(j) and j.ended_ms + base.retention_ms <= now_ms
    if j.era ~= base.get('era') then -- what is not durable went with the server
        jobs.set(j, 'era', base.get('era'))
        jobs.set(j, 'stepped', 0)
        jobs.set(j, 'paged', 1)
    end
    if j.state == jobs.COLLECTING then
        goes = is_given_up(j)
    elseif j.state == jobs.RUNNING then
        step(j)
    end
    if goes then
        jobs.forget(j)
    end
end

-- ---- all

local held, more = what == '-' or take_lease(), false
if held then
    move_clock()
end
if held and what ~= '-' then
    if base.get('steady') - steady_stored > STALL_MS then
        leases.calm()
    end
    leases.expire()
    more = what == '1' and clean(may_expire())
    for _, j in ipairs(jobs.all()) do
        step_job(j)
    end
end

-- The lease and the clocks alone are worth a write once a second: an idle queue leaves the disk alone.
local CLOCKS = { 'house_id', 'house_since', 'house_until', 'house_boot', 'house_boot_ms', 'house_time',
    'steady', 'look_time', 'look_steady' }
local function is_idle()
    local passed, changed = base.get('steady') - steady_stored, 0
    for _ in pairs(base.dirty) do
        changed = changed + 1
    end
    for _, field in ipairs(CLOCKS) do
        changed = changed - (base.dirty[field] and 1 or 0)
    end
    return what ~= '-' and same_house and changed == 0 and passed > 0 and passed < CLOCK_WRITE_MS
end
if is_idle() then
    base.dirty = {}
end
base.finish()
return { held and 1 or 0, math.max(base.get('house_until') - now_ms, 0), more and 1 or 0, now_ms,
    base.get('head'), base.get('news'), base.get('moved'), redis.call('ZCARD', base.key('live')) }
