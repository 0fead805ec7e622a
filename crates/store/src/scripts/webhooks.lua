-- What webhooks take.

local function bytes_of_webhook(key) return WEBHOOK + guarded('HSTRLEN', key, 'p') end

-- Removes a webhook before its time. Returns whether it was still waiting.
-- at: prefix of webhooks, prefix of waiting webhooks
local function remove_webhook(account, id, at)
  local key = at.webhooks .. id
  local moment, bytes, whose = account:moment_of('webhooks', key), bytes_of_webhook(key), guarded('HGET', key, 'e')
  if moment then account:drop('webhooks', bytes, moment) end
  redis.call('UNLINK', key)
  return whose and guarded('ZREM', at.waiting .. whose, id) == 1
end
