-- Writes, removes or wakes an endpoint, and counts its tenant's.
-- KEYS: 1 tenant's endpoints, 2 tenant's hash, 3 tenants, 4 the endpoint's waiting notices, 5 notify,
--   6 outbox
-- ARGV: 1 endpoint, 2 it as JSON, or '' to remove it, 3 'due' when its waiting notices are to be sent, else '',
--   4 tenant, 5 prefix of notices
if ARGV[2] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('ZREM', KEYS[5], ARGV[4] .. '/' .. ARGV[1])
  -- Notices that nobody waits for any more, a bounded number: the rest is found by nobody and goes by the history.
  for _, id in ipairs(redis.call('ZRANGE', KEYS[4], 0, 9999)) do redis.call('UNLINK', ARGV[5] .. id) end
  redis.call('UNLINK', KEYS[4])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('SADD', KEYS[3], ARGV[4])
  local head = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
  if ARGV[3] == 'due' and head[2] then
    redis.call('ZADD', KEYS[5], head[2], ARGV[4] .. '/' .. ARGV[1])
    wake(KEYS[6])
  end
end
redis.call('HSET', KEYS[2], 'endpoints', redis.call('HLEN', KEYS[1]))
return 1
