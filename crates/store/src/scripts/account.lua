-- What a tenant makes us keep, in bytes, by kind. One hash for each tenant: `kind` is how much there is now; what expires
-- stands there a second time as `kind@moment`, and goes from the first when that moment has passed; `due` is the first
-- such moment.
local Account = {}
local KINDS = { 'jobs', 'lists', 'batches', 'rejected', 'answers', 'webhooks' }
-- The part of a tenant's bytes that a kind may take; the others may take all that is left.
local SHARES = { batches = 0.25, rejected = 0.125, answers = 0.125, webhooks = 0.25 }
-- What Redis takes beside the texts: for a job with its fields and its places in queues; for its place in a list of ids;
-- for a key with a short value; for a batch; for a rejected row; for a webhook; for an event.
local JOB, PLACE, KEY, BATCH, ROW, WEBHOOK, EVENT = 900, 48, 200, 1200, 150, 900, 256

-- tenant: its hash; events: the stream of all; limits: `bytes width wide`: what it may have where nothing else is said (0:
-- any number), and how exactly it is known when something expires, in ms: jobs and batches, and what is kept for long
-- whatever the retention
local function account_of(tenant, events, limits)
  local base, name = string.match(tenant, '^(.*}):t:(.*)$')
  local bytes, width, wide = string.match(limits, '^(%d+) (%d+) (%d+)$')
  local account = {
    tenant = tenant, key = base .. ':u:' .. name, events = events .. ':' .. name, bytes = tonumber(bytes), changes = {},
    widths = setmetatable({ lists = wide, answers = wide, webhooks = wide }, { __index = function() return width end }),
  }
  return setmetatable(account, { __index = Account })
end

function Account:add(kind, bytes)
  self.changes[kind] = (self.changes[kind] or 0) + bytes
end

-- The moment at which what of a kind expires then is surely gone.
function Account:moment(kind, at)
  local width = tonumber(self.widths[kind])
  return string.format('%.0f', math.ceil(at / width) * width)
end

-- So much of what is counted expires at this moment.
function Account:expires(kind, bytes, moment)
  self:add(kind .. '@' .. moment, bytes)
  if bytes > 0 and (not self.first or tonumber(moment) < self.first) then self.first = tonumber(moment) end
end

-- So much does not expire at this moment after all.
function Account:stays(kind, bytes, moment)
  self:add(kind .. '@' .. moment, -bytes)
end

-- Something that expires at this moment, and something that would have and is gone before.
function Account:keep(kind, bytes, moment)
  self:add(kind, bytes)
  self:expires(kind, bytes, moment)
end
function Account:drop(kind, bytes, moment)
  self:add(kind, -bytes)
  self:stays(kind, bytes, moment)
end

-- The moment at which this key, as it is now, is gone; nothing where it stays.
function Account:moment_of(kind, key)
  local left = redis.call('PTTL', key)
  return left >= 0 and self:moment(kind, now + left) or nil
end

-- Adds to a field. Never below nothing: what was there before there were accounts goes too.
function Account:write(field, by)
  if by ~= 0 and guarded('HINCRBY', self.key, field, string.format('%.0f', by)) < 0 then
    guarded('HSET', self.key, field, 0)
  end
end

-- What has expired goes, from its sum at once: who asks for room may be refused, and write nothing down.
function Account:sweep()
  if self.swept then return end
  self.swept = true
  local due = tonumber(guarded('HGET', self.key, 'due') or nil)
  if not due or due > now then return end
  local fields, first = guarded('HGETALL', self.key), nil
  for i = 1, #fields, 2 do
    local kind, moment = string.match(fields[i], '^(%l+)@(%d+)$')
    moment = tonumber(moment)
    if moment and moment <= now then
      guarded('HDEL', self.key, fields[i])
      self:write(kind, -(tonumber(fields[i + 1]) or 0))
    elseif moment and (not first or moment < first) then
      first = moment
    end
  end
  if first then
    guarded('HSET', self.key, 'due', string.format('%.0f', first))
  else
    guarded('HDEL', self.key, 'due')
  end
end

-- How many bytes more of a kind it may have; an eighth of all is kept for events.
function Account:room(kind)
  local most = number_of(guarded('HGET', self.tenant, 'max_bytes')) or self.bytes
  if most <= 0 then return math.huge end
  self:sweep()
  local sums, all, own = guarded('HMGET', self.key, unpack(KINDS)), most / 8, 0
  for i, name in ipairs(KINDS) do
    local sum = (tonumber(sums[i] or nil) or 0) + (self.changes[name] or 0)
    all = all + sum
    if name == kind then own = sum end
  end
  return math.min(most - all, SHARES[kind] and SHARES[kind] * most - own or math.huge)
end

-- Writes down what has changed.
function Account:close()
  for field, by in pairs(self.changes) do self:write(field, by) end
  if self.first then
    local due = tonumber(guarded('HGET', self.key, 'due') or nil)
    if not due or self.first < due then guarded('HSET', self.key, 'due', string.format('%.0f', self.first)) end
  end
  self.changes, self.first = {}, nil
end
