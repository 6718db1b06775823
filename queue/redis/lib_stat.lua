-- Statistics: the arithmetic of queue/windows.c, and its packing (queue/windows_pack.c), which
-- records here share with the wire. Needs: base lanes.
--
-- p:lane:<n>:stat  hash: source route family (a byte each) -> windows_pack
-- p:stat           zset: lanes of which something is known, by the version when it last changed
-- Counts are { heads, failures, phases }: numbers by index from 0, nil for 0; a phase { sum, counts }.
local stat = { SOURCES = 2, ROUTES = 2, FAMILIES = 4, FAILURES = 9, PHASES = 7, BUCKETS = 48, PAGE = 64,
    LIST = 256, APART_MS = 1000, U32 = 4294967295, SUM = 2 ^ 62,
    rings = { { first = 0, len = 12, width = 300000 }, { first = 12, len = 24, width = 3600000 },
        { first = 36, len = 28, width = 21600000 } } }

-- ---- numbers as long as they are large

function stat.get(u, max)
    local v, scale = 0, 1
    repeat
        local b = wire.u8(u)
        v = v + b % 128 * scale
        scale = scale * 128
        if b >= 128 and scale > 2 ^ 63 then
            u.bad = true
        end
    until b < 128 or u.bad
    if v > max then
        u.bad = true
    end
    return u.bad and 0 or v
end

local function put(out, v)
    while v >= 128 do
        out[#out + 1] = string.char(v % 128 + 128)
        v = math.floor(v / 128)
    end
    out[#out + 1] = string.char(v)
end

local function has(mask, bit_number)
    return math.floor(mask / 2 ^ bit_number) % 2 == 1
end

local function get_sparse(u, len)
    local there, out = stat.get(u, 2 ^ len - 1), {}
    for i = 0, len - 1 do
        if has(there, i) then
            out[i] = stat.get(u, stat.U32)
        end
    end
    return out
end

local function put_sparse(out, v, len)
    local there = 0
    for i = 0, len - 1 do
        there = there + ((v[i] or 0) > 0 and 2 ^ i or 0)
    end
    put(out, there)
    for i = 0, len - 1 do
        if (v[i] or 0) > 0 then
            put(out, v[i])
        end
    end
end

-- ---- counts

function stat.none()
    return { heads = {}, failures = {}, phases = {} }
end

function stat.get_counts(u)
    local c = { heads = get_sparse(u, 4), failures = get_sparse(u, stat.FAILURES), phases = {} }
    local there = stat.get(u, 2 ^ stat.PHASES - 1)
    for p = 0, stat.PHASES - 1 do
        if has(there, p) and not u.bad then
            local sum = stat.get(u, 2 ^ 64)
            c.phases[p] = { sum = sum, counts = get_sparse(u, stat.BUCKETS) }
        end
    end
    return c
end

local function put_counts(out, c)
    local there = 0
    put_sparse(out, c.heads, 4)
    put_sparse(out, c.failures, stat.FAILURES)
    for p in pairs(c.phases) do
        there = there + 2 ^ p
    end
    put(out, there)
    for p = 0, stat.PHASES - 1 do
        if c.phases[p] then
            put(out, c.phases[p].sum)
            put_sparse(out, c.phases[p].counts, stat.BUCKETS)
        end
    end
end

local function add_sparse(to, from)
    for i, n in pairs(from) do
        to[i] = math.min((to[i] or 0) + n, stat.U32)
    end
end

local function add_counts(to, from)
    add_sparse(to.heads, from.heads)
    add_sparse(to.failures, from.failures)
    for p, h in pairs(from.phases) do
        local mine = to.phases[p] or { sum = 0, counts = {} }
        mine.sum = math.min(mine.sum + h.sum, stat.SUM)
        add_sparse(mine.counts, h.counts)
        to.phases[p] = mine
    end
end

local function sum_of(list)
    local sum = 0
    for _, n in pairs(list) do
        sum = sum + n
    end
    return sum
end

-- ---- the last attempt: when, and all else as packed ('' when there was none)

function stat.get_last(u)
    local at_ms, from = wire.i64(u), u.at
    if at_ms ~= 0 then
        if wire.u8(u) > 1 or wire.u8(u) >= stat.FAILURES or #wire.str(u) >= 96 then
            u.bad = true
        end
        get_sparse(u, stat.PHASES)
        wire.i64(u)
        if #wire.str(u) >= 64 or #wire.str(u) >= 64 then
            u.bad = true
        end
    end
    return { at_ms = at_ms, rest = string.sub(u.s, from, u.at - 1) }
end

local function put_last(out, last)
    out[#out + 1] = struct.pack('<i8', last.at_ms) .. last.rest
end

-- ---- all of a path

function stat.read(record)
    local w = { success = 0, failure = 0, streak = 0, last = { at_ms = 0, rest = '' }, total = stat.none(),
        newest = { 0, 0, 0 }, buckets = {} }
    if not record then
        return w
    end
    local u = wire.reader(record)
    w.success, w.failure, w.streak = wire.i64(u), wire.i64(u), wire.num(u, '<i4')
    w.last, w.total = stat.get_last(u), stat.get_counts(u)
    for i = 1, 3 do
        w.newest[i] = wire.i64(u)
    end
    local low, high = wire.u32(u), wire.u32(u)
    for i = 0, 63 do
        if has(i < 32 and low or high, i % 32) then
            w.buckets[i] = stat.get_counts(u)
        end
    end
    return w
end

function stat.write(w)
    local out, there = {}, { 0, 0 }
    out[1] = struct.pack('<i8i8i4', w.success, w.failure, w.streak)
    put_last(out, w.last)
    put_counts(out, w.total)
    for i = 0, 63 do
        if w.buckets[i] then
            local half = i < 32 and 1 or 2
            there[half] = there[half] + 2 ^ (i % 32)
        end
    end
    out[#out + 1] = struct.pack('<i8i8i8I4I4', w.newest[1], w.newest[2], w.newest[3], there[1], there[2])
    for i = 0, 63 do
        if w.buckets[i] then
            put_counts(out, w.buckets[i])
        end
    end
    return table.concat(out)
end

-- ---- time

-- The wall clock has just jumped: see housekeep.lua.
function stat.is_calm()
    local looked, steady = base.get('look_time'), base.get('steady')
    local jumped = looked ~= 0 and base.now_ms() - looked > steady - base.get('look_steady') + stat.APART_MS
    return jumped or steady < base.get('calm_until')
end

function stat.roll(w)
    for i, r in ipairs(stat.rings) do
        local number = math.max(math.floor(base.now_ms() / r.width), 0)
        local by = number - w.newest[i]
        for at = r.first + r.len - 1, r.first, -1 do
            if by > 0 then
                w.buckets[at] = at - by >= r.first and w.buckets[at - by] or nil
            end
        end
        if by > 0 or by <= -r.len then
            w.newest[i] = number
        end
    end
end

local function streak_of(w, o)
    local only = o.streak > 0 and sum_of(o.counts.failures) == 0 or o.streak < 0 and (o.counts.heads[1] or 0) == 0
    if o.streak == 0 then
        return w.streak
    end
    if not only or w.streak == 0 or (o.streak > 0) ~= (w.streak > 0) then
        return math.max(o.streak, -2147483647)
    end
    return math.max(math.min(w.streak + o.streak, 2147483647), -2147483647)
end

function stat.add(w, o, calm)
    if not calm or w.newest[1] == 0 then
        stat.roll(w)
    end
    add_counts(w.total, o.counts)
    for _, r in ipairs(stat.rings) do
        w.buckets[r.first] = w.buckets[r.first] or stat.none()
        add_counts(w.buckets[r.first], o.counts)
    end
    if (o.counts.heads[1] or 0) > 0 then
        w.success = base.now_ms() - o.success_ago
    end
    if sum_of(o.counts.failures) > 0 then
        w.failure = base.now_ms() - o.failure_ago
    end
    w.streak = streak_of(w, o)
    if o.last.at_ms ~= 0 then
        w.last = { at_ms = base.now_ms() - o.last.at_ms, rest = o.last.rest }
    end
end

-- ---- showing

local function bucket_us(i)
    return (i % 2 == 0 and 250 or 354) * 2 ^ math.floor(i / 2)
end

local function quantile_us(counts, all, per_mille)
    local rank, below = math.max(math.floor((all * per_mille + 999) / 1000), 1), 0
    for i = 0, stat.BUCKETS - 1 do
        local n, from = counts[i] or 0, i > 0 and bucket_us(i - 1) or 0
        if below + n >= rank then
            return i == stat.BUCKETS - 1 and from or
                from + math.floor((bucket_us(i) - from) * (rank - below) / n)
        end
        below = below + n
    end
    return 0
end

local function show_window(out, w, r)
    local sum = stat.none()
    for i = r.first, r.first + r.len - 1 do
        if w.buckets[i] then
            add_counts(sum, w.buckets[i])
        end
    end
    local parts = { struct.pack('<I4I4', sum.heads[0] or 0, sum.heads[1] or 0) }
    for i = 0, stat.FAILURES - 1 do
        parts[#parts + 1] = struct.pack('<I4', sum.failures[i] or 0)
    end
    parts[#parts + 1] = struct.pack('<I4I4', sum.heads[2] or 0, sum.heads[3] or 0)
    for p = 0, stat.PHASES - 1 do
        local h = sum.phases[p]
        local all = h and sum_of(h.counts) or 0
        parts[#parts + 1] = all == 0 and '\0' or struct.pack('<BI8I8I8I8I8', 1, all, h.sum,
            quantile_us(h.counts, all, 500), quantile_us(h.counts, all, 900), quantile_us(h.counts, all, 990))
    end
    out[#out + 1] = table.concat(parts)
end

-- A path as the wire has it.
function stat.show(path, w)
    local out = { path }
    for _, r in ipairs(stat.rings) do
        show_window(out, w, r)
    end
    put_counts(out, w.total)
    out[#out + 1] = struct.pack('<i8i8i4', w.success, w.failure, w.streak)
    put_last(out, w.last)
    return table.concat(out)
end
