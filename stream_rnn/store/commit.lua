-- Commit a micro-batch: hidden states and the position, together or not at all.
--
-- EVALSHA commit 2 POSITION HIDDEN  expected_position expected_origin
--                                   position anchor stream_time_ms numerics
--                                   writes [field state]... [field]...
--
-- KEYS  POSITION  hash: position, origin, anchor, keys, stream_time_ms, partitions, numerics, format
--       HIDDEN    hash: record key -> hidden-state bytes
-- ARGV  writes    number of (field, state) pairs; the fields after them are deleted
--
-- Returns  ok     written
--          moved  position or origin is not the expected one: nothing written
--          torn   the number of HIDDEN's fields is not `keys`: nothing written
--          type   one of the keys is not a hash: nothing written
--
-- Lua does not roll back: the script reads and checks everything before its first write, and writes
-- the position last.  A call has at most 500 fields, because Lua's stack is limited.
local CHUNK = 500
local kinds = { redis.call('TYPE', KEYS[1]).ok, redis.call('TYPE', KEYS[2]).ok }
for _, kind in ipairs(kinds) do
  if kind ~= 'hash' and kind ~= 'none' then return 'type' end
end
local stored = redis.call('HMGET', KEYS[1], 'position', 'origin', 'keys')
if stored[1] ~= ARGV[1] or stored[2] ~= ARGV[2] then return 'moved' end
local keys = tonumber(stored[3])
if keys == nil or redis.call('HLEN', KEYS[2]) ~= keys then return 'torn' end

local last_write = 7 + 2 * tonumber(ARGV[7])
for first = 8, last_write, 2 * CHUNK do
  keys = keys + redis.call('HSET', KEYS[2], unpack(ARGV, first, math.min(first + 2 * CHUNK - 1, last_write)))
end
for first = last_write + 1, #ARGV, CHUNK do
  keys = keys - redis.call('HDEL', KEYS[2], unpack(ARGV, first, math.min(first + CHUNK - 1, #ARGV)))
end
redis.call('HSET', KEYS[1], 'position', ARGV[3], 'anchor', ARGV[4], 'stream_time_ms', ARGV[5],
  'numerics', ARGV[6], 'keys', string.format('%.0f', keys))
return 'ok'
