-- Batches: their list, what they take, and their end.

-- Lists a new batch. Names of batches that have expired go by the way, more of them than come.
local function list_batch(batches, batch, prefix)
  guarded('ZADD', batches, now, batch)
  for _, name in ipairs(guarded('ZRANDMEMBER', batches, 3)) do
    if redis.call('EXISTS', prefix .. name) == 0 then redis.call('ZREM', batches, name) end
  end
end

-- What a batch takes is written down with it, in `bytes` and `rejected`, and in `gone` the moment at which it expires.
local function charge_batch(account, batch, field, bytes)
  if bytes == 0 then return end
  local kind = field == 'rejected' and 'rejected' or 'batches'
  account:add(kind, bytes)
  local gone = guarded('HGET', batch, 'gone')
  if gone then account:expires(kind, bytes, gone) end
  guarded('HINCRBY', batch, field, bytes)
end

-- Has a batch expire at this moment, or not at all.
local function batch_expires(account, batch, moment)
  local known = guarded('HMGET', batch, 'bytes', 'rejected', 'gone')
  if known[3] == (moment or false) then return end
  for i, kind in ipairs({ 'batches', 'rejected' }) do
    local bytes = tonumber(known[i] or nil) or 0
    if known[3] then account:stays(kind, bytes, known[3]) end
    if moment then account:expires(kind, bytes, moment) end
  end
  if moment then guarded('HSET', batch, 'gone', moment) else guarded('HDEL', batch, 'gone') end
end

-- Closes a batch whose last job has ended, once, unless more of it is on its way.
-- One without any job is not told of, and kept as long.
-- at: batch, members, refused, events, outbox, tenant's hash, its account, retention in ms
local function close_if_over(at)
  local c = guarded('HMGET', at.batch, 'total', 'completed', 'failed', 'canceled', 'inputs', 'closed', 'created')
  local total = tonumber(c[1] or nil) or 0
  if not c[7] or (tonumber(c[5] or nil) or 0) > 0 then return end
  local ended = 0
  for i = 2, 4 do ended = ended + (tonumber(c[i] or nil) or 0) end
  if ended < total then return end
  for _, key in ipairs({ at.batch, at.members, at.refused }) do redis.call('PEXPIRE', key, at.retention * 2) end
  batch_expires(at.account, at.batch, at.account:moment('batches', now + at.retention * 2))
  if c[6] or total == 0 then return end
  local name = string.match(at.batch, '}:b:(.*)$')
  guarded('HSET', at.batch, 'closed', now)
  at.events:add(string.match(name, '^(.*)/') or 'default', 'closed', name)
  if (tonumber(guarded('HGET', at.tenant, 'endpoints') or nil) or 0) > 0 then
    local seq = guarded('HINCRBY', at.batch, 'told', 1)
    tell(at.outbox, 'closed', name, 's', seq)
  end
end
