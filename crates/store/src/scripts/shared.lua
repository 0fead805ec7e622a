-- What several scripts need; stands before each of them.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- How long what was spent on a day is kept, in ms.
local LEDGER_KEPT = 400 * 86400000

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

-- Tells what is news for operators, or for one tenant: into the events, and to the endpoints of the tenant (the default one's
-- where it concerns all).
-- at: events, how many are kept, outbox, prefix of tenants
local function tell_news(news, at)
  local text = cjson.encode(news)
  redis.call('XADD', at.events, 'MAXLEN', '~', at.kept, '*', 'n', text)
  local tenant = at.tenants .. (news.tenant or 'default')
  if (tonumber(redis.call('HGET', tenant, 'endpoints')) or 0) > 0 then tell(at.outbox, 'n', text, 's', 0) end
end

-- Lists a new batch. Names of batches that have expired go by the way, more of them than come.
local function list_batch(batches, batch, prefix)
  redis.call('ZADD', batches, now, batch)
  for _, name in ipairs(redis.call('ZRANDMEMBER', batches, 3)) do
    if redis.call('EXISTS', prefix .. name) == 0 then redis.call('ZREM', batches, name) end
  end
end

-- Closes a batch whose last job has ended, once, unless more of it is on its way.
-- One without any job is not told of, and kept as long.
-- at: batch, members, refused, events, outbox, tenant's hash, events kept, retention in ms
local function close_if_over(at)
  local c = redis.call('HMGET', at.batch, 'total', 'completed', 'failed', 'canceled', 'inputs', 'closed', 'created')
  local total = tonumber(c[1]) or 0
  if not c[7] or (tonumber(c[5]) or 0) > 0 then return end
  if (c[2] or 0) + (c[3] or 0) + (c[4] or 0) < total then return end
  for _, key in ipairs({ at.batch, at.members, at.refused }) do redis.call('PEXPIRE', key, at.retention * 2) end
  if c[6] or total == 0 then return end
  local name = string.match(at.batch, '}:b:(.*)$')
  redis.call('HSET', at.batch, 'closed', now)
  redis.call('XADD', at.events, 'MAXLEN', '~', at.kept, '*', 'closed', name)
  if (tonumber(redis.call('HGET', at.tenant, 'endpoints')) or 0) > 0 then
    local seq = redis.call('HINCRBY', at.batch, 'told', 1)
    tell(at.outbox, 'closed', name, 's', seq)
  end
end
