-- Events. One stream gives each its place and feeds those who follow; beside it every tenant has a stream of its own, which
-- keeps them, so that no tenant's events push out another's. What concerns everybody is kept in a stream without a name.
local FOLLOWED = 10000
local Events = {}

-- limits: `most age bound kept`: a tenant keeps so many, those that are not so old (ms) beyond that, and never more than
--   the bound; a stream that nothing is written to is kept so long (ms)
local function events_of(key, limits)
  local most, age, bound, kept = string.match(limits, '^(%d+) (%d+) (%d+) (%d+)$')
  local events = {
    key = key, most = tonumber(most), age = tonumber(age), bound = tonumber(bound), kept = kept, written = {},
  }
  return setmetatable(events, { __index = Events })
end

-- tenant: '' for everybody
function Events:add(tenant, field, text)
  local place = guarded('XADD', self.key, 'MAXLEN', '~', FOLLOWED, '*', field, text) or '*'
  local own = self.key .. ':' .. tenant
  -- A place is refused if the clock was set back and the common stream begun anew meanwhile.
  local added = redis.pcall('XADD', own, place, field, text)
  if type(added) == 'table' and added.err then added = guarded('XADD', own, '*', field, text) end
  if added then self.written[tenant] = own end
end

-- Keeps what was written to within its bounds. From where on a tenant's events are kept is written down, for whoever
-- asks for earlier ones.
function Events:close()
  for tenant, own in pairs(self.written) do
    local length = redis.call('XLEN', own)
    if length > self.most then
      local gone = redis.call('XTRIM', own, 'MINID', '~', string.format('%.0f', now - self.age), 'LIMIT', length - self.most)
      if length - gone > self.bound then gone = gone + redis.call('XTRIM', own, 'MAXLEN', '~', self.bound) end
      local first = gone > 0 and redis.call('XRANGE', own, '-', '+', 'COUNT', 1)[1]
      if first then guarded('HSET', self.key .. '!', tenant, first[1]) end
    end
    redis.call('PEXPIRE', own, self.kept)
  end
  if next(self.written) then redis.call('PEXPIRE', self.key, self.kept) end
end

-- Tells what is news for operators, or for one tenant: into the events, and to the endpoints of the tenant (the default one's
-- where it concerns all).
-- at: events, outbox, prefix of tenants
local function tell_news(news, at)
  local text = cjson.encode(news)
  at.events:add(news.tenant or '', 'n', text)
  local tenant = at.tenants .. (news.tenant or 'default')
  if (tonumber(guarded('HGET', tenant, 'endpoints') or nil) or 0) > 0 then tell(at.outbox, 'n', text, 's', 0) end
end
