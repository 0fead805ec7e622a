-- Takes endpoints that have notices due, each with some of them, for a lease. An endpoint is one worker's at a time,
-- so that a slow one delays only itself.
-- KEYS: 1 notify, 2 notifying, 3 outbox
-- ARGV: 1 most endpoints, 2 most notices of each, 3 lease in ms, 4 prefix of notices, 5 prefix of waiting notices,
--   6 longest sleep in ms
-- Returns: when something will be due (or -1), then for each notice: tenant/endpoint, fence, id, notice, payload
for _, whose in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 100)) do
  redis.call('ZREM', KEYS[2], whose)
  redis.call('ZADD', KEYS[1], now, whose)
end
local out, fence = { -1 }, string.format('%.0f', now + ARGV[3])
for _, whose in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])) do
  redis.call('ZREM', KEYS[1], whose)
  local waiting, taken = ARGV[5] .. whose, 0
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', waiting, '-inf', now, 'LIMIT', 0, ARGV[2])) do
    local notice = redis.call('HMGET', ARGV[4] .. id, 'd', 'p')
    if notice[1] then
      local n = #out
      out[n + 1], out[n + 2], out[n + 3], out[n + 4] = whose, fence, id, notice[1]
      out[n + 5] = notice[2] or ''
      taken = taken + 1
    else
      redis.call('ZREM', waiting, id)
    end
  end
  if taken > 0 then
    redis.call('ZADD', KEYS[2], fence, whose)
  else
    local head = redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')
    if head[2] then redis.call('ZADD', KEYS[1], math.max(now, head[2]), whose) end
  end
end
local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if head[2] then out[1] = head[2] end
if #out == 1 and redis.call('XLEN', KEYS[3]) == 0 then redis.call('SET', KEYS[3] .. ':idle', 1, 'PX', ARGV[6]) end
return out
