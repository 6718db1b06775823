-- Which lane whom: lease.c in Lua, with the same result. Needs: bytes.
--
-- Every lane that may stay with its holder stays; the free ones go, by number, to the least loaded
-- that serves their route; then lanes move one by one from a heavier publisher to one lighter by two
-- or more, where routes differ through a third one that serves both.
--
-- Publishers are known by their rank, 1 … by id. stacks[rank][route]: their lanes, own ones below.
local plan = { ROUTES = 2 }

local function serves(p, rank, route)
    local pub = p.pubs[rank]
    return pub.leaving == 0 and bit.band(pub.routes, bit.lshift(1, route)) ~= 0
end

local function top(p, rank, route)
    local stack = p.stacks[rank][route]
    return stack[#stack]
end

local function push(p, rank, lane)
    local stack = p.stacks[rank][lane.route]
    stack[#stack + 1] = lane
    p.load[rank] = p.load[rank] + 1
    lane.rank = rank
end

local function move(p, from, to, route)
    local lane = table.remove(p.stacks[from][route])
    p.load[from] = p.load[from] - 1
    push(p, to, lane)
end

-- The least loaded that serves `route`, the lowest id among equals; nil when nobody does.
local function lightest(p, route)
    local best
    for rank = 1, #p.pubs do
        if serves(p, rank, route) and (not best or p.load[rank] < p.load[best]) then
            best = rank
        end
    end
    return best
end

-- One lane less for the heaviest, one more for the lightest. Of equal moves the one of a lane that
-- is not held by whom it leaves.
local function even_directly(p)
    local from, to, route, fresh
    local most = 1
    for r = 0, plan.ROUTES - 1 do
        local light = lightest(p, r)
        for rank = 1, light and #p.pubs or 0 do
            local lane, gain = top(p, rank, r), p.load[rank] - p.load[light]
            if lane and gain > 1 then
                local is_fresh = lane.holder ~= p.pubs[rank].id
                if gain > most or (gain == most and is_fresh and not fresh) then
                    from, to, route, most, fresh = rank, light, r, gain, is_fresh
                end
            end
        end
    end
    if from then
        move(p, from, to, route)
    end
    return from ~= nil
end

-- From the heaviest that has lanes of `r` to one that serves only `other`, through one with both.
local function even_through(p, r, other)
    local from, to = nil, lightest(p, other)
    for rank = 1, #p.pubs do
        if top(p, rank, r) and (not from or p.load[rank] > p.load[from]) then
            from = rank
        end
    end
    if not from or not to or p.load[from] <= p.load[to] + 1 then
        return false
    end
    for rank = 1, #p.pubs do
        if rank ~= from and rank ~= to and serves(p, rank, r) and top(p, rank, other) then
            move(p, rank, to, other)
            move(p, from, rank, r)
            return true
        end
    end
    return false
end

local function even_out(p)
    local moved = true
    while moved do
        moved = even_directly(p)
        for r = 0, plan.ROUTES - 1 do
            for other = 0, plan.ROUTES - 1 do
                moved = moved or (other ~= r and even_through(p, r, other))
            end
        end
    end
end

-- Who keeps, keeps; then the free ones.
local function hand_out(p, list)
    for _, lane in ipairs(list) do
        local rank = p.rank_of[lane.holder]
        lane.rank = nil
        if rank and serves(p, rank, lane.route) then
            push(p, rank, lane)
        end
    end
    for _, lane in ipairs(list) do
        local rank = not lane.rank and lightest(p, lane.route)
        if rank then
            push(p, rank, lane)
        end
    end
end

local function replace(stack, lane, by)
    for i = #stack, 1, -1 do
        if stack[i] == lane then
            stack[i] = by
            return
        end
    end
end

-- Where routes are mixed one may have lost a lane early and got another of the same route late: it
-- keeps its own, and whom that went to takes the other.
local function undo_idle_moves(p, list)
    for _, mine in ipairs(list) do
        local rank = p.rank_of[mine.holder]
        local other = rank and mine.rank and mine.rank ~= rank and serves(p, rank, mine.route) and
            top(p, rank, mine.route)
        if other and other.holder ~= mine.holder then
            table.remove(p.stacks[rank][mine.route])
            replace(p.stacks[mine.rank][mine.route], mine, other)
            other.rank, mine.rank = mine.rank, rank
        end
    end
end

-- pubs: all that are alive, with id routes leaving(0, 1), in any order; list: lanes by number, with
-- route and holder (an id). Sets `rank` of each, nil when nobody serves its route. Returns the
-- publishers by rank.
function plan.make(pubs, list)
    local p = { pubs = pubs, load = {}, stacks = {}, rank_of = {} }
    table.sort(pubs, function(a, b) return less(a.id, b.id) end)
    for rank, pub in ipairs(pubs) do
        p.load[rank], p.rank_of[pub.id] = 0, rank
        p.stacks[rank] = {}
        for route = 0, plan.ROUTES - 1 do
            p.stacks[rank][route] = {}
        end
    end
    hand_out(p, list)
    even_out(p)
    undo_idle_moves(p, list)
    return pubs
end
