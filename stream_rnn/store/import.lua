-- Put hidden states that were saved in the place of a fold's: all of them and the position, or nothing.
--
-- EVALSHA import 3 POSITION HIDDEN SAVED  seen_position seen_origin seen_fields keys [field value]...
--
-- KEYS  SAVED   hash: the saved hidden states, written before under a name of its own
-- ARGV  seen_*  what was found before: a position and origin, or '' for none, and HIDDEN's fields
--       keys    fields that SAVED must have; after it come POSITION's new fields
--
-- Returns  ok     written
--          moved  the keys are not as seen, a worker was here: nothing written
--          torn   SAVED does not hold `keys` fields: nothing written
--          type   one of the keys is not a hash: nothing written
for _, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'hash' and kind ~= 'none' then return 'type' end
end
local held = redis.call('HMGET', KEYS[1], 'position', 'origin')
if (held[1] or '') ~= ARGV[1] or (held[2] or '') ~= ARGV[2] then return 'moved' end
if redis.call('HLEN', KEYS[2]) ~= tonumber(ARGV[3]) then return 'moved' end
if redis.call('HLEN', KEYS[3]) ~= tonumber(ARGV[4]) then return 'torn' end

redis.call('UNLINK', KEYS[1], KEYS[2])
if tonumber(ARGV[4]) > 0 then
  redis.call('PERSIST', KEYS[3])
  redis.call('RENAME', KEYS[3], KEYS[2])
end
redis.call('HSET', KEYS[1], unpack(ARGV, 5))
return 'ok'
