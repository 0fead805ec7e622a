-- What several scripts need; stands before each of them.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Wakes whoever sends notices.
local function wake(outbox)
  if redis.call('DEL', outbox .. ':idle') == 1 then
    redis.call('PUBLISH', string.match(outbox, '^(.*):outbox$') .. ':wake', outbox)
  end
end

-- Puts something into the outbox.
local function tell(outbox, ...)
  redis.call('XADD', outbox, '*', ...)
  wake(outbox)
end

-- Closes a batch whose last job has ended, once, unless more of it is on its way.
-- at: batch, members, refused, events, outbox, tenant's hash, events kept, retention in ms
local function close_if_over(at)
  local c = redis.call('HMGET', at.batch, 'total', 'completed', 'failed', 'canceled', 'inputs', 'closed', 'created')
  if c[6] or not c[7] or (tonumber(c[5]) or 0) > 0 then return end
  if (c[2] or 0) + (c[3] or 0) + (c[4] or 0) < (tonumber(c[1]) or 0) then return end
  local name = string.match(at.batch, '}:b:(.*)$')
  redis.call('HSET', at.batch, 'closed', now)
  redis.call('XADD', at.events, 'MAXLEN', '~', at.kept, '*', 'closed', name)
  if (tonumber(redis.call('HGET', at.tenant, 'endpoints')) or 0) > 0 then
    local seq = redis.call('HINCRBY', at.batch, 'told', 1)
    tell(at.outbox, 'closed', name, 's', seq)
  end
  for _, key in ipairs({ at.batch, at.members, at.refused }) do redis.call('PEXPIRE', key, at.retention * 2) end
end
