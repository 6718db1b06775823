-- What became of one position at one lane, for receipts and tallies. Needs: base lanes rows.
local show = { DELIVERED = 0, QUEUED = 1, RETRYING = 2, FILTERED = 3, ROW = 4, NEVER = 5 }

-- The end, the row if any (of this one position, also when a run covers it) and the exception.
function show.outcome(l, pos, kind)
    if pos <= l.start then
        return show.NEVER
    end
    local r, x = rows.find(l, pos), lanes.exception(l, pos)
    if r then
        r.from, r.to = pos, pos
    end
    if x then
        return show.RETRYING, r, x
    elseif r then
        return show.ROW, r
    elseif pos > lanes.position(l) then
        return show.QUEUED
    end
    return lanes.allows(lanes.definition_at(l, pos), kind) and show.DELIVERED or show.FILTERED
end
