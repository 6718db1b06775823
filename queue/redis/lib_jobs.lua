-- Replay jobs: their records. Which rows are in a job stands in the rows (lib_rows), and what waits
-- in p:job:<j>:<lane>, a sorted set of the first positions of rows, by their last. Needs: base lanes.
--
-- A job: number state(0 collecting 1 running 2 done 3 cancelled) made_ms ended_ms rate total waiting
-- asked delivered failed dropped last_lane credit stepped paged clock era, and the strings text by
-- token (8 bytes). clock: the boot clock of its last step, or page; era: of meta, when that was noted.
-- p:job:<j>:lanes: lane -> how many positions wait there.
local jobs = { cache = {}, COLLECTING = 0, RUNNING = 1, DONE = 2, CANCELLED = 3,
    DELIVERED = 'delivered', FAILED = 'failed', DROPPED = 'dropped' }
local job_text = { text = true, by = true, token = true }

function jobs.key(number, part)
    return base.p .. ':job:' .. number .. (part and ':' .. part or '')
end

-- nil: there is none (any more).
function jobs.get(number)
    local j = jobs.cache[number]
    if j ~= nil then
        return j or nil
    end
    local flat = redis.call('HGETALL', jobs.key(number))
    if #flat == 0 then
        jobs.cache[number] = false
        return nil
    end
    j = { dirty = {} }
    for i = 1, #flat, 2 do
        j[flat[i]] = job_text[flat[i]] and flat[i + 1] or tonumber(flat[i + 1])
    end
    jobs.cache[number] = j
    return j
end

jobs.set, jobs.add = record.set, record.add

function jobs.save()
    for number, j in pairs(jobs.cache) do
        if j and record.write(jobs.key(number), j) then
            j.dirty = {}
        end
    end
end
base.savers[#base.savers + 1] = jobs.save

function jobs.all()
    local out = redis.call('ZRANGE', base.key('jobs'), 0, -1)
    for i = 1, #out do
        out[i] = jobs.get(tonumber(out[i]))
    end
    return out
end

function jobs.is_over(j)
    return j.state == jobs.DONE or j.state == jobs.CANCELLED
end
function jobs.finish(j, state)
    jobs.set(j, 'state', state)
    jobs.set(j, 'ended_ms', base.now_ms())
end
function jobs.finish_when_done(j)
    if j.state == jobs.RUNNING and j.waiting + j.asked == 0 then
        jobs.finish(j, jobs.DONE)
    end
end

-- The numbers of the lanes where something waits, ascending.
function jobs.lanes(j)
    local out = redis.call('HKEYS', jobs.key(j.number, 'lanes'))
    for i = 1, #out do
        out[i] = tonumber(out[i])
    end
    table.sort(out)
    return out
end

-- `count` positions more (or less) wait at the lane.
function jobs.wait(j, lane, count)
    if redis.call('HINCRBY', jobs.key(j.number, 'lanes'), lane, count) <= 0 then
        redis.call('HDEL', jobs.key(j.number, 'lanes'), lane)
    end
end

-- What waits is out of it, on one lane or on all: it is dropped. The rows find out by themselves
-- (rows.job_of).
function jobs.drop_waiting(j, lane)
    local counts = lane and { lane } or jobs.lanes(j)
    for _, number in ipairs(counts) do
        local count = tonumber(redis.call('HGET', jobs.key(j.number, 'lanes'), number) or '0')
        redis.call('UNLINK', jobs.key(j.number, number))
        redis.call('HDEL', jobs.key(j.number, 'lanes'), number)
        jobs.add(j, 'waiting', -count)
        jobs.add(j, 'dropped', count)
    end
    jobs.finish_when_done(j)
end

-- Rows that are still in it are free for others.
function jobs.forget(j)
    for _, lane in ipairs(jobs.lanes(j)) do
        redis.call('UNLINK', jobs.key(j.number, lane))
    end
    redis.call('DEL', jobs.key(j.number), jobs.key(j.number, 'lanes'))
    redis.call('ZREM', base.key('jobs'), j.number)
    jobs.cache[j.number] = false
end
