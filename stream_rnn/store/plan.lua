-- Write the plan of a roll-out, if the stored one is still the one that was seen.
--
-- EVALSHA plan 1 ROLLOUT  seen plan
--
-- KEYS  ROLLOUT  hash: plan, and its SHA-1 as digest, by which readers know one that they have
-- ARGV  seen     plan that was read; empty for none
--       plan     plan to write
--
-- Returns  ok     written
--          moved  the stored plan is another one: nothing written
--          type   the key is not a hash: nothing written
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then return 'type' end
local stored = redis.call('HMGET', KEYS[1], 'plan')[1] or ''
if stored ~= ARGV[1] then return 'moved' end
redis.call('HSET', KEYS[1], 'plan', ARGV[2], 'digest', redis.sha1hex(ARGV[2]))
return 'ok'
