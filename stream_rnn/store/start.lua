-- Write the first position of a fold, and delete the hidden states of an older one.
--
-- EVALSHA start 2 POSITION HIDDEN  seen_position seen_origin seen_fields
--                                  position origin partitions numerics format lost
--
-- ARGV  seen_*  see seen.lua
--       lost    description of the history that was given up, or ''
--
-- Returns  ok     written
--          moved  another process has changed the keys since the read: nothing written
--          type   one of the keys is not a hash: nothing written
local refused = refusal()
if refused then return refused end

redis.call('UNLINK', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[1], 'position', ARGV[4], 'origin', ARGV[5], 'anchor', '', 'keys', '0',
  'stream_time_ms', '', 'partitions', ARGV[6], 'numerics', ARGV[7], 'format', ARGV[8], 'lost', ARGV[9])
return 'ok'
