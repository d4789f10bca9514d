-- Drop the states of a fold, if they are still the ones that were seen.
--
-- EVALSHA drop 2 POSITION HIDDEN  seen_position seen_origin seen_fields
--
-- ARGV  seen_*  result of the preceding read: position and origin, or '' for none, and the number
--               of HIDDEN's fields
--
-- Returns  ok     both keys are gone
--          moved  another process has changed the keys since the read: nothing dropped
--          type   one of the keys is not a hash: nothing dropped
for _, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'hash' and kind ~= 'none' then return 'type' end
end
local stored = redis.call('HMGET', KEYS[1], 'position', 'origin')
if (stored[1] or '') ~= ARGV[1] or (stored[2] or '') ~= ARGV[2] then return 'moved' end
if redis.call('HLEN', KEYS[2]) ~= tonumber(ARGV[3]) then return 'moved' end

redis.call('UNLINK', KEYS[1], KEYS[2])
return 'ok'
