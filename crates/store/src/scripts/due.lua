-- Which endpoints have webhooks due. Of each tenant apart, so that tenants take turns; and those whose last delivery
-- failed apart, in the slow lane.
-- <notify>: tenants by when it is their turn; <notify>:e:<tenant>: its endpoints by when the first of their webhooks is due;
-- <notify>:slow and <notify>:slow:e:<tenant>: the same of the slow lane; <notify>:failing: endpoints whose last delivery
-- failed.
local function tenant_of(whose) return string.match(whose, '^[^/]*') end

-- Puts an endpoint into its lane, at a time not before now. Who is there earlier stays so.
local function put(notify, whose, at)
  local lane, tenant = notify, tenant_of(whose)
  if redis.call('SISMEMBER', notify .. ':failing', whose) == 1 then lane = notify .. ':slow' end
  redis.call('ZADD', lane .. ':e:' .. tenant, 'LT', at, whose)
  redis.call('ZADD', lane, 'LT', at, tenant)
end

-- Takes an endpoint out of both lanes, and notes whether its last delivery failed.
local function leave(notify, whose, failing)
  for _, lane in ipairs({ notify, notify .. ':slow' }) do redis.call('ZREM', lane .. ':e:' .. tenant_of(whose), whose) end
  redis.call(failing and 'SADD' or 'SREM', notify .. ':failing', whose)
end
