#!lua flags=allow-oom
-- needs: base log lanes jobs rows
-- cancel: stops a replay job. What waits is dropped, and what was asked for and not taken up by the
-- lane's owner, with the request; what is in flight is settled.
local refused = base.begin()
if refused then
    return refused
end

local function drop_asked(l, number)
    for _, at in ipairs(redis.call('ZRANGE', lanes.key(l, 'asked'), 0, -1)) do
        local pos = tonumber(at)
        local r = rows.find(l, pos)
        if r and r.job == number and rows.request(l, pos) then
            rows.unask(l, pos)
            rows.settle(l, r, jobs.DROPPED)
        end
    end
end

local function answer()
    local u = base.request()
    local number, _ = wire.u64(u), wire.str(u)
    if wire.is_bad(u) then
        return base.refuse(base.INVALID, 'this can not be read')
    end
    local j = jobs.get(number)
    if not j or jobs.is_over(j) then
        return base.refuse(base.NOT_FOUND)
    end
    jobs.finish(j, jobs.CANCELLED)
    jobs.drop_waiting(j)
    for _, l in ipairs(lanes.live()) do
        if l.jobbed > 0 then
            drop_asked(l, number)
        end
    end
    return base.reply('')
end

local reply = answer()
base.finish()
return reply
