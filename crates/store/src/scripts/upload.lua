-- Says that lines of a batch are on their way (begin), still are (go on), or are all there (end): a batch that more
-- lines may come to is not closed.
-- KEYS: 1 batch, 2 its members, 3 its refused lines, 4 tenant's batches, 5 uploads, 6 events, 7 outbox, 8 tenant's hash
-- ARGV: 1 'begin', 'on', 'end', or 'silent' to end it if it gave no sign of life in time, 2 batch, 3 upload, 4 how long it may give no sign of life in ms, 5 limits of events,
--   6 retention in ms, 7 prefix of batches, 8 endpoints that are to be told, 9 the request it comes with, 10 what may be spent for it in
--   millionths, 11 its share beside its tenant's others ('' for what was said before), 12 limits of the tenant's account
-- Returns 1, or 0 where there was nothing to end, or -1 where the tenant has no room for a new batch
local upload, events = ARGV[3] .. ' ' .. ARGV[2], events_of(KEYS[6], ARGV[5])
local account = account_of(KEYS[8], KEYS[6], ARGV[12])
if ARGV[1] == 'silent' and (tonumber(redis.call('ZSCORE', KEYS[5], upload)) or math.huge) > now then return 0 end
if ARGV[1] == 'end' or ARGV[1] == 'silent' then
  if redis.call('ZREM', KEYS[5], upload) == 0 then return 0 end
  guarded('HINCRBY', KEYS[1], 'inputs', -1)
  close_if_over({
    batch = KEYS[1], members = KEYS[2], refused = KEYS[3], events = events, outbox = KEYS[7], tenant = KEYS[8],
    account = account, retention = tonumber(ARGV[6]),
  })
  events:close()
  account:close()
  return 1
end
local bytes = BATCH + 2 * #ARGV[2] + #ARGV[8] + #ARGV[9]
local is_new = redis.call('EXISTS', KEYS[1]) == 0
if is_new and account:room('batches') < bytes then return -1 end
if redis.call('ZADD', KEYS[5], now + tonumber(ARGV[4]), upload) == 0 then return 1 end
if guarded('HSETNX', KEYS[1], 'created', now) == 1 then
  list_batch(KEYS[4], ARGV[2], ARGV[7])
  charge_batch(account, KEYS[1], 'bytes', bytes)
end
batch_expires(account, KEYS[1], nil)
account:close()
guarded('HINCRBY', KEYS[1], 'inputs', 1)
for _, key in ipairs({ KEYS[1], KEYS[2], KEYS[3] }) do redis.call('PERSIST', key) end
if ARGV[10] ~= '' then guarded('HSET', KEYS[1], 'budget', ARGV[10]) end
if ARGV[11] ~= '' then guarded('HSET', KEYS[1], 'weight', ARGV[11]) end
if ARGV[9] ~= '' then guarded('HSETNX', KEYS[1], 'trace', ARGV[9]) end
local named = guarded('HGET', KEYS[1], 'notify') or ''
for id in string.gmatch(ARGV[8], '%S+') do
  if not string.find(' ' .. named .. ' ', ' ' .. id .. ' ', 1, true) then named = named .. ' ' .. id end
end
if named ~= '' then guarded('HSET', KEYS[1], 'notify', named) end
return 1
