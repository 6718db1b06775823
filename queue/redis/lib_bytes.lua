-- Bytes of one length, a multiple of four, compared as such: `<` would go by the server's locale.
local function less(a, b)
    for i = 1, #a, 4 do
        local x, y = struct.unpack('>I4', a, i), struct.unpack('>I4', b, i)
        if x ~= y then
            return x < y
        end
    end
    return false
end
