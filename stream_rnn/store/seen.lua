-- What start.lua, drop.lua and import.lua check before they write.  Redis gets this text and theirs
-- as one script.
--
-- KEYS  POSITION HIDDEN ...
-- ARGV  seen_position seen_origin seen_fields ...: result of the preceding read, position and origin
--       or '' for none, and the number of HIDDEN's fields
local function refusal()
  for _, key in ipairs(KEYS) do
    local kind = redis.call('TYPE', key).ok
    if kind ~= 'hash' and kind ~= 'none' then return 'type' end
  end
  local stored = redis.call('HMGET', KEYS[1], 'position', 'origin')
  if (stored[1] or '') ~= ARGV[1] or (stored[2] or '') ~= ARGV[2] then return 'moved' end
  if redis.call('HLEN', KEYS[2]) ~= tonumber(ARGV[3]) then return 'moved' end
  return nil
end

