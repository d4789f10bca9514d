-- Replace a fold's hidden states and position by saved ones, together or not at all.
--
-- EVALSHA import 3 POSITION HIDDEN SAVED  seen_position seen_origin seen_fields keys [field value]...
--
-- KEYS  SAVED   hash: the saved hidden states, written before under a temporary key
-- ARGV  seen_*  see seen.lua
--       keys    number of fields that SAVED must have; POSITION's new fields follow
--
-- Returns  ok     written
--          moved  a worker has changed the keys since the read: nothing written
--          torn   the number of SAVED's fields is not `keys`: nothing written
--          type   one of the keys is not a hash: nothing written
local refused = refusal()
if refused then return refused end
if redis.call('HLEN', KEYS[3]) ~= tonumber(ARGV[4]) then return 'torn' end

redis.call('UNLINK', KEYS[1], KEYS[2])
if tonumber(ARGV[4]) > 0 then
  redis.call('PERSIST', KEYS[3])
  redis.call('RENAME', KEYS[3], KEYS[2])
end
redis.call('HSET', KEYS[1], unpack(ARGV, 5))
return 'ok'
