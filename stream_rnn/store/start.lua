-- Write the first position of a fold, and delete the hidden states of an older one.
--
-- EVALSHA start 2 POSITION HIDDEN  seen_position seen_origin seen_fields
--                                  position origin partitions numerics format lost
--
-- ARGV  seen_*  result of the preceding read: position and origin, or '' for none, and the number
--               of HIDDEN's fields
--       lost    description of the history that was given up, or ''
--
-- Returns  ok     written
--          moved  another process has changed the keys since the read: nothing written
--          type   one of the keys is not a hash: nothing written
local kinds = { redis.call('TYPE', KEYS[1]).ok, redis.call('TYPE', KEYS[2]).ok }
for _, kind in ipairs(kinds) do
  if kind ~= 'hash' and kind ~= 'none' then return 'type' end
end
local stored = redis.call('HMGET', KEYS[1], 'position', 'origin')
if (stored[1] or '') ~= ARGV[1] or (stored[2] or '') ~= ARGV[2] then return 'moved' end
if redis.call('HLEN', KEYS[2]) ~= tonumber(ARGV[3]) then return 'moved' end

redis.call('UNLINK', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[1], 'position', ARGV[4], 'origin', ARGV[5], 'anchor', '', 'keys', '0',
  'stream_time_ms', '', 'partitions', ARGV[6], 'numerics', ARGV[7], 'format', ARGV[8], 'lost', ARGV[9])
return 'ok'
