-- Says that lines of a batch are on their way (begin), still are (go on), or are all there (end): a batch that more
-- lines may come to is not closed.
-- KEYS: 1 batch, 2 its members, 3 its refused lines, 4 tenant's batches, 5 uploads, 6 events, 7 outbox, 8 tenant's hash
-- ARGV: 1 'begin', 'on' or 'end', 2 batch, 3 upload, 4 how long it may give no sign of life in ms, 5 events kept,
--   6 retention in ms, then pairs of fields that a batch has from its beginning
local upload = ARGV[3] .. ' ' .. ARGV[2]
if ARGV[1] == 'end' then
  if redis.call('ZREM', KEYS[5], upload) == 0 then return 0 end
  redis.call('HINCRBY', KEYS[1], 'inputs', -1)
  close_if_over({
    batch = KEYS[1], members = KEYS[2], refused = KEYS[3], events = KEYS[6], outbox = KEYS[7], tenant = KEYS[8],
    kept = ARGV[5], retention = tonumber(ARGV[6]),
  })
  return 1
end
if redis.call('ZADD', KEYS[5], now + tonumber(ARGV[4]), upload) == 0 then return 1 end
if redis.call('HSETNX', KEYS[1], 'created', now) == 1 then redis.call('ZADD', KEYS[4], now, ARGV[2]) end
redis.call('HINCRBY', KEYS[1], 'inputs', 1)
for _, key in ipairs({ KEYS[1], KEYS[2], KEYS[3] }) do redis.call('PERSIST', key) end
for i = 7, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1
