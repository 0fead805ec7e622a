-- Lengthens leases that are still held.
-- KEYS: for each job: its record, the queue it waits in
-- ARGV: 1 lease in ms, then for each job: id, version
-- Returns for each job: 1 lengthened, 0 lost
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local results = {}
for i = 1, #KEYS / 2 do
  local held = redis.call('HGET', KEYS[2 * i - 1], 'v') == ARGV[2 * i + 1]
  if held then redis.call('ZADD', KEYS[2 * i], 'XX', now + tonumber(ARGV[1]), ARGV[2 * i]) end
  results[i] = held and 1 or 0
end
return results
