-- Writes what became of an endpoint's notices, and lets the endpoint go.
-- KEYS: 1 notify, 2 notifying, 3 the endpoint's waiting notices, 4 tenant's endpoints, 5 tenant's hash, 6 events
-- ARGV: 1 tenant/endpoint, 2 fence, 3 prefix of notices, 4 how long what is settled is kept in ms, 5 endpoint, 6 it as
--   JSON as it was read, or '', 7 as it is to be, 8 'off' when it is sent nothing any more,
--   'failing' when its last delivery failed, 9 limits of the tenant's account, then for each notice: id, notice, when it is due again ('' never)
-- Returns 2 when the endpoint was written, else whether it was still ours. It comes behind all that is due now, so that
-- one with many notices does not come before one with a few.
local account = account_of(KEYS[5], KEYS[6], ARGV[9])

-- Has a notice be kept so long from now on.
local function keep(notice, ms)
  local moment, bytes = account:moment_of('webhooks', notice), bytes_of_webhook(notice)
  if moment then account:stays('webhooks', bytes, moment) end
  account:expires('webhooks', bytes, account:moment('webhooks', now + ms))
  redis.call('PEXPIRE', notice, ms)
end

for arg = 10, #ARGV, 3 do
  local id, notice, due = ARGV[arg], ARGV[3] .. ARGV[arg], ARGV[arg + 2]
  if redis.call('ZSCORE', KEYS[3], id) then
    guarded('HSET', notice, 'd', ARGV[arg + 1])
    if due == '' then
      redis.call('ZREM', KEYS[3], id)
      keep(notice, tonumber(ARGV[4]))
    else
      redis.call('ZADD', KEYS[3], due, id)
      keep(notice, ARGV[4] * 2)
      redis.call('PEXPIRE', KEYS[3], ARGV[4] * 2)
    end
  end
end
account:close()
-- What somebody else said of the endpoint meanwhile stays.
local same = ARGV[6] ~= '' and guarded('HGET', KEYS[4], ARGV[5]) == ARGV[6]
if same then guarded('HSET', KEYS[4], ARGV[5], ARGV[7]) end
if redis.call('ZSCORE', KEYS[2], ARGV[1]) ~= ARGV[2] then return same and 2 or 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
leave(KEYS[1], ARGV[1], ARGV[8] == 'failing')
local head = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
if head[2] and not (same and ARGV[8] == 'off') then put(KEYS[1], ARGV[1], math.max(now, head[2])) end
return same and 2 or 1
