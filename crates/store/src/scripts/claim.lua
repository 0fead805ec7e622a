-- Takes due jobs out of one queue for a lease. A submit claim writes the intent before anything is sent: the
-- job moves to the resolve queue, due when the lease ends, so a worker that dies leaves it on its way.
-- KEYS: 1 queue, 2 queue the job waits in during the lease (the resolve queue for submit, else the same)
-- ARGV: 1 most jobs, 2 lease in ms, 3 prefix of records, 4 prefix of batches, 5 longest sleep in ms, 6 what
--   the record is to be returned with: 'r' for the request, '' without
-- Records and batches are found by the ids in the queue; they share its hash tag.
-- Returns: now, when the next job is due (or -1), then for each job: id, version, claims, began, record, request
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local most, lease = tonumber(ARGV[1]), tonumber(ARGV[2])
local moves = KEYS[1] ~= KEYS[2]
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, most)
local out = { now, -1 }
for _, id in ipairs(ids) do
  local job = ARGV[3] .. id
  local known = redis.call('HMGET', job, 'd', 'b', ARGV[6] == 'r' and 'r' or 'v')
  if not known[1] then
    redis.call('ZREM', KEYS[1], id)
  else
    local version = redis.call('HINCRBY', job, 'v', 1)
    local claims = redis.call('HINCRBY', job, 'c', 1)
    local began = 0
    if moves then
      redis.call('ZREM', KEYS[1], id)
      redis.call('HSET', job, 'x', now)
      began = now
      if known[2] then
        redis.call('HINCRBY', ARGV[4] .. known[2], 'queued', -1)
        redis.call('HINCRBY', ARGV[4] .. known[2], 'submitting', 1)
      end
    else
      began = tonumber(redis.call('HGET', job, 'x') or 0)
    end
    redis.call('ZADD', KEYS[2], now + lease, id)
    out[#out + 1] = id
    out[#out + 1] = version
    out[#out + 1] = claims
    out[#out + 1] = began
    out[#out + 1] = known[1]
    out[#out + 1] = ARGV[6] == 'r' and known[3] or ''
  end
end
if #ids < most then
  local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  local until_ms = now + tonumber(ARGV[5])
  if head[2] then
    out[2] = tonumber(head[2])
    if out[2] < until_ms then until_ms = out[2] end
  end
  redis.call('SET', KEYS[1] .. ':idle', until_ms, 'PX', 2 * tonumber(ARGV[5]))
else
  out[2] = now
end
return out
