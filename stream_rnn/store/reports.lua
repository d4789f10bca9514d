-- Return the reports of workers, of those that are no larger than any report.  Reads only.
--
-- EVALSHA reports N WORKER...  bytes_max
--
-- KEYS  WORKER     string: the report of one worker
-- ARGV  bytes_max  largest report to return, in bytes
--
-- Returns  for each key its report; nil if there is none, it is larger, or the key is no string
local reports = redis.call('MGET', unpack(KEYS))
for i, report in ipairs(reports) do
  if report and #report > tonumber(ARGV[1]) then reports[i] = false end
end
return reports
