#!lua flags=allow-oom
-- needs: base
-- The first call of a connection: makes the queue when there is none and none was expected, and
-- says what is there. ARGV[5]: 32 hex digits of randomness.
base.load()
if not base.meta.store and ARGV[1] == '' then
    base.put('store', ARGV[5])
    base.put('format', base.FORMAT)
    base.put('head', 0)
    base.put('first', 1)
    base.put('news', 0)
    base.put('moved', 0)
    base.put('incarnation', ARGV[2])
    base.finish()
end
local refused = base.begin()
if refused then
    return refused
end
base.finish()
return { base.text('store'), base.text('format'), base.get('head'), base.get('news') }
