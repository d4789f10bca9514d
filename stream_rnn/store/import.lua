-- Replace a fold's hidden states and position by saved ones, together or not at all.
--
-- EVALSHA import 3 POSITION HIDDEN SAVED  seen_position seen_origin seen_fields keys [field value]...
--
-- KEYS  SAVED   hash: the saved hidden states, written before under a temporary key
-- ARGV  seen_*  result of the preceding read: position and origin, or '' for none, and the number
--               of HIDDEN's fields
--       keys    number of fields that SAVED must have; POSITION's new fields follow
--
-- Returns  ok     written
--          moved  a worker has changed the keys since the read: nothing written
--          torn   the number of SAVED's fields is not `keys`: nothing written
--          type   one of the keys is not a hash: nothing written
for _, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'hash' and kind ~= 'none' then return 'type' end
end
local stored = redis.call('HMGET', KEYS[1], 'position', 'origin')
if (stored[1] or '') ~= ARGV[1] or (stored[2] or '') ~= ARGV[2] then return 'moved' end
if redis.call('HLEN', KEYS[2]) ~= tonumber(ARGV[3]) then return 'moved' end
if redis.call('HLEN', KEYS[3]) ~= tonumber(ARGV[4]) then return 'torn' end

redis.call('UNLINK', KEYS[1], KEYS[2])
if tonumber(ARGV[4]) > 0 then
  redis.call('PERSIST', KEYS[3])
  redis.call('RENAME', KEYS[3], KEYS[2])
end
redis.call('HSET', KEYS[1], unpack(ARGV, 5))
return 'ok'
