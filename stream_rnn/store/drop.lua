-- Drop the states of a fold, if they are still the ones that were seen.
--
-- EVALSHA drop 2 POSITION HIDDEN  seen_position seen_origin seen_fields
--
-- ARGV  seen_*  see seen.lua
--
-- Returns  ok     both keys are gone
--          moved  another process has changed the keys since the read: nothing dropped
--          type   one of the keys is not a hash: nothing dropped
local refused = refusal()
if refused then return refused end

redis.call('UNLINK', KEYS[1], KEYS[2])
return 'ok'
