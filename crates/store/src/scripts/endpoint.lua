-- Writes, removes or wakes an endpoint, and counts its tenant's.
-- KEYS: 1 tenant's endpoints, 2 tenant's hash, 3 tenants, 4 the endpoint's waiting notices, 5 notify,
--   6 outbox, 7 notifying, 8 events
-- ARGV: 1 endpoint, 2 it as JSON, or '' to remove it, 3 'on' when it is sent notices, 'failing' when
--   it is and the last delivery failed, else '', 4 tenant, 5 prefix of
--   notices, 6 it as it was read, or '' when it is new, 7 limits of the tenant's account, 8 prefix of waiting notices
-- Returns 0 when it is not as it was read any more: then nothing is done
if ARGV[2] ~= '' and (guarded('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[6] then return 0 end
local whose = ARGV[4] .. '/' .. ARGV[1]
if ARGV[2] == '' then
  guarded('HDEL', KEYS[1], ARGV[1])
  leave(KEYS[5], whose, false)
  -- Notices that nobody waits for any more, a bounded number: the others go by their time.
  local account, at = account_of(KEYS[2], KEYS[8], ARGV[7]), { webhooks = ARGV[5], waiting = ARGV[8] }
  for _, id in ipairs(redis.call('ZRANGE', KEYS[4], 0, 1999)) do remove_webhook(account, id, at) end
  account:close()
  redis.call('UNLINK', KEYS[4])
else
  guarded('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('SADD', KEYS[3], ARGV[4])
  local head = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
  leave(KEYS[5], whose, ARGV[3] == 'failing')
  if ARGV[3] ~= '' and head[2] and not redis.call('ZSCORE', KEYS[7], whose) then
    put(KEYS[5], whose, math.max(now, head[2]))
    wake(KEYS[6])
  end
end
local count = guarded('HLEN', KEYS[1])
guarded('HSET', KEYS[2], 'endpoints', count)
return 1
