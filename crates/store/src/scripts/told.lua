-- Writes what became of an endpoint's notices, and lets the endpoint go.
-- KEYS: 1 notify, 2 notifying, 3 the endpoint's waiting notices, 4 tenant's endpoints
-- ARGV: 1 tenant/endpoint, 2 fence, 3 prefix of notices, 4 how long what is settled is kept in ms, 5 endpoint, 6 it as
--   JSON as it was read, or '', 7 as it is to be, 8 'off' when it is sent nothing any more,
--   'failing' when its last delivery failed, then for each notice: id, notice, when it is due again ('' never)
-- Returns 2 when the endpoint was written, else whether it was still ours. It comes behind all that is due now, so that
-- one with many notices does not come before one with a few.
for arg = 9, #ARGV, 3 do
  local id, notice, due = ARGV[arg], ARGV[3] .. ARGV[arg], ARGV[arg + 2]
  if redis.call('ZSCORE', KEYS[3], id) then
    redis.call('HSET', notice, 'd', ARGV[arg + 1])
    if due == '' then
      redis.call('ZREM', KEYS[3], id)
      redis.call('PEXPIRE', notice, ARGV[4])
    else
      redis.call('ZADD', KEYS[3], due, id)
      redis.call('PEXPIRE', notice, ARGV[4] * 2)
      redis.call('PEXPIRE', KEYS[3], ARGV[4] * 2)
    end
  end
end
-- What somebody else said of the endpoint meanwhile stays.
local same = ARGV[6] ~= '' and redis.call('HGET', KEYS[4], ARGV[5]) == ARGV[6]
if same then redis.call('HSET', KEYS[4], ARGV[5], ARGV[7]) end
if redis.call('ZSCORE', KEYS[2], ARGV[1]) ~= ARGV[2] then return same and 2 or 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
leave(KEYS[1], ARGV[1], ARGV[8] == 'failing')
local head = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
if head[2] and not (same and ARGV[8] == 'off') then put(KEYS[1], ARGV[1], math.max(now, head[2])) end
return same and 2 or 1
