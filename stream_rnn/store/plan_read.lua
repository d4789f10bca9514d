-- Return the plan of a roll-out, if it is no larger than any plan.  Reads only.
--
-- EVALSHA plan_read 1 ROLLOUT  bytes_max
--
-- KEYS  ROLLOUT    hash: plan
-- ARGV  bytes_max  largest plan to return, in bytes
--
-- Returns  nil     there is none
--          size    as an integer: it is larger than bytes_max
--          plan
local plan = redis.call('HMGET', KEYS[1], 'plan')[1]
if plan and #plan > tonumber(ARGV[1]) then return #plan end
return plan
