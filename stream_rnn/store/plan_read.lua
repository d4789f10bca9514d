-- Return the plan of a roll-out, if it is another one than was read before, and no larger than any plan.
-- Reads only.
--
-- EVALSHA plan_read 1 ROLLOUT  bytes_max digest size
--
-- KEYS  ROLLOUT    hash: plan, digest
-- ARGV  bytes_max  largest plan to return, in bytes
--       digest     SHA-1 of the plan that was read before, in hexadecimal; empty for none
--       size       size of that plan, in bytes
--
-- Returns  nil     there is none
--          0       it is the one that was read before
--          size    as an integer: it is larger than bytes_max
--          plan
local digest = redis.call('HMGET', KEYS[1], 'digest')[1]
if digest and digest == ARGV[2] and redis.call('HSTRLEN', KEYS[1], 'plan') == tonumber(ARGV[3]) then
  return 0
end
local plan = redis.call('HMGET', KEYS[1], 'plan')[1]
if plan and #plan > tonumber(ARGV[1]) then return #plan end
return plan
