-- Write the first position of a fold: drop what is left of an older one and begin empty.
--
-- EVALSHA start 2 POSITION HIDDEN  seen_position seen_origin seen_fields
--                                  position origin partitions numerics format lost
--
-- ARGV  seen_*  what the deciding read found: a position and origin, or '' for none, and the
--               number of fields of HIDDEN
--       lost    '' or what history was given up, for people
--
-- Returns  ok     written
--          moved  the keys are not as seen, somebody else was here: nothing written
--          type   one of the keys is not a hash: nothing written
local kinds = { redis.call('TYPE', KEYS[1]).ok, redis.call('TYPE', KEYS[2]).ok }
for _, kind in ipairs(kinds) do
  if kind ~= 'hash' and kind ~= 'none' then return 'type' end
end
local held = redis.call('HMGET', KEYS[1], 'position', 'origin')
if (held[1] or '') ~= ARGV[1] or (held[2] or '') ~= ARGV[2] then return 'moved' end
if redis.call('HLEN', KEYS[2]) ~= tonumber(ARGV[3]) then return 'moved' end

redis.call('UNLINK', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[1], 'position', ARGV[4], 'origin', ARGV[5], 'anchor', '', 'keys', '0',
  'stream_time_ms', '', 'partitions', ARGV[6], 'numerics', ARGV[7], 'format', ARGV[8], 'lost', ARGV[9])
return 'ok'
