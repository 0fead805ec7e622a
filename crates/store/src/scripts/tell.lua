-- Turns what is to be told into notices, once: whoever takes it out of the outbox writes them. A tenant that has no room for
-- more loses the oldest ones.
-- KEYS: 1 outbox, 2 notify, 3 notifying, 4 events
-- ARGV: 1 prefix of notices, 2 prefix of waiting notices, 3 prefix of histories, 4 most notices of a history, 5 how long a notice may
--   wait in ms, 6 prefix of tenants, 7 limits of accounts, then for
--   each thing: its place in the outbox ('' for what never was there), number of notices, and for each of them: id,
--   tenant, endpoint, notice, payload
-- Returns how many notices were written, and how many were lost for want of room
local written, lost, accounts, at = 0, 0, {}, { webhooks = ARGV[1], waiting = ARGV[2] }
-- The oldest that make room for one, at most.
local MAKE_ROOM = 16

-- Whether there is room for so many bytes, after the oldest have made some.
local function has_room(account, history, bytes)
  for _ = 1, MAKE_ROOM do
    if account:room('webhooks') >= bytes then return true end
    local oldest = guarded('RPOP', history)
    if not oldest then return false end
    if remove_webhook(account, oldest, at) then lost = lost + 1 end
  end
  return account:room('webhooks') >= bytes
end

local function write(id, tenant, whose, notice, payload)
  local account = accounts[tenant] or account_of(ARGV[6] .. tenant, KEYS[4], ARGV[7])
  accounts[tenant] = account
  local key, waiting, history, bytes = ARGV[1] .. id, ARGV[2] .. whose, ARGV[3] .. tenant, WEBHOOK + #payload
  local again = redis.call('EXISTS', key) == 1
  if again then
    local moment = account:moment_of('webhooks', key)
    if moment then account:drop('webhooks', bytes_of_webhook(key), moment) end
  elseif not has_room(account, history, bytes) then
    lost = lost + 1
    return
  end
  guarded('HSET', key, 'd', notice, 'p', payload, 'e', whose)
  redis.call('PEXPIRE', key, ARGV[5])
  account:keep('webhooks', bytes, account:moment('webhooks', now + ARGV[5]))
  guarded('ZADD', waiting, now, id)
  redis.call('PEXPIRE', waiting, ARGV[5])
  if not redis.call('ZSCORE', KEYS[3], whose) then put(KEYS[2], whose, now) end
  if not again then guarded('LPUSH', history, id) end
  if guarded('LLEN', history) > tonumber(ARGV[4]) then
    local oldest = guarded('RPOP', history)
    local of = guarded('HGET', ARGV[1] .. oldest, 'e')
    if of and not guarded('ZSCORE', ARGV[2] .. of, oldest) then remove_webhook(account, oldest, at) end
  end
  written = written + 1
end

local arg = 8
while arg <= #ARGV do
  local ours = ARGV[arg] == '' or redis.call('XDEL', KEYS[1], ARGV[arg]) == 1
  local count = tonumber(ARGV[arg + 1])
  arg = arg + 2
  for _ = 1, count do
    if ours then
      local tenant = ARGV[arg + 1]
      write(ARGV[arg], tenant, tenant .. '/' .. ARGV[arg + 2], ARGV[arg + 3], ARGV[arg + 4])
    end
    arg = arg + 5
  end
end
for _, account in pairs(accounts) do account:close() end
if written > 0 then wake(KEYS[1]) end
return { written, lost }
