-- What submissions and requests tell of a vendor, and what an operator says of its gate.
-- KEYS: 1 the vendor's limits, 2 its submit queue, 3 events, 4 outbox
-- ARGV: 1 wake channel, 2 vendor, 3 events kept, 4 prefix of tenants, then what:
--   'unprobed': the submission that was let through tells nothing
--   'ok' how long its task takes to fail, in ms: a submission was answered
--   'locked' or 'down' code, wait in ms, longest wait in ms: the vendor says so of our account, or of itself
--   'failing' code, wait, longest wait, tenant, how many in a row shut the gate: if they are of two tenants, or one
--     tenant alone has submitted lately
--   'suspected' code, wait, longest wait, tenant, job, what shuts the gate (locked or failing) if another job is
--     refused as well: another tenant's, where one has submitted lately
--   'throttled' bucket (c or r), the setting of its rate, requests a minute that were named (0: none), wait in ms
--     that was named (0: none)
--   'shut' until when (0: until it is opened), words: by hand
--   'open': by hand
-- Returns 1 when the gate was shut or opened by this.
local limits, what = KEYS[1], ARGV[5]

local function news(kind, more)
  more.kind, more.vendor = kind, ARGV[2]
  tell_news(more, { events = KEYS[3], kept = ARGV[3], outbox = KEYS[4], tenants = ARGV[4] })
end

local function wake()
  redis.call('DEL', KEYS[2] .. ':idle')
  redis.call('PUBLISH', ARGV[1], KEYS[2])
end

if what == 'throttled' then
  local prefix = ARGV[6]
  local bucket = bucket_of(redis.call('HMGET', limits, unpack(fields_of(prefix))), 1)
  learn(now, bucket, tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]))
  keep(limits, prefix, bucket)
  if prefix == 'c' then redis.call('HDEL', limits, 'probe') end
  return 0
end

if what == 'unprobed' then
  if redis.call('HDEL', limits, 'probe') == 1 then wake() end
  return 0
end

local found = redis.call('HMGET', limits, 'shut', 'by', 'probe', 'trips', 'since', 'code')
local is_shut, by_hand, probing = found[1], found[2] == 'hand', found[3] or found[2] == 'trial'

if what == 'shut' then
  open_gate(limits)
  redis.call('HSET', limits, 'shut', ARGV[6], 'by', 'hand', 'code', 'shut_by_hand', 'words', ARGV[7], 'since', now)
  if is_shut and by_hand then return 0 end
  news('vendor.paused', { by = 'hand', code = 'shut_by_hand', until_ms = tonumber(ARGV[6]) })
  return 1
elseif what == 'open' then
  open_gate(limits)
  redis.call('HDEL', limits, 'cp', 'rp')
  wake()
  if not is_shut then return 0 end
  news('vendor.resumed', {})
  return 1
elseif by_hand then
  return 0
elseif what == 'ok' then
  if not is_shut then
    redis.call('HDEL', limits, 'fails', 'trips', 'fw', 'fo', 'sj', 'sw', 'sa')
    return 0
  end
  -- Only the submission that was let through to find out says that the gate may open.
  if not found[3] then return 0 end
  if found[6] == 'vendor_setup_failed' then
    -- Not the submission fails there, but its task.
    redis.call('HDEL', limits, 'probe')
    redis.call('HSET', limits, 'by', 'trial', 'shut', now + tonumber(ARGV[6]))
    return 0
  end
  local only = redis.call('HGET', limits, 'only')
  open_gate(limits)
  wake()
  news('vendor.resumed', { tenant = only or nil })
  return 1
end

if is_shut and not probing then return 0 end
local by, tenant, only = what == 'down' and 'failing' or what, ARGV[9], nil
local last_of_others = tonumber(redis.call('HGET', limits, 'tb') or nil)
local is_alone = not last_of_others or now - last_of_others >= LATELY
if what == 'failing' and not is_shut then
  local first = redis.call('HGET', limits, 'fw')
  if not first then
    redis.call('HSET', limits, 'fw', tenant)
  elseif first ~= tenant then
    redis.call('HSET', limits, 'fo', 1)
  end
  local of_others = redis.call('HEXISTS', limits, 'fo') == 1
  local enough = redis.call('HINCRBY', limits, 'fails', 1) >= tonumber(ARGV[10])
  if not enough or not (of_others or is_alone) then return 0 end
  if not of_others then only = tenant end
elseif what == 'suspected' then
  by = ARGV[11]
  if not is_shut then
    local before = redis.call('HMGET', limits, 'sj', 'sw', 'sa')
    local counts = before[1] and now - tonumber(before[3]) < LATELY
    local is_other = counts and before[1] ~= ARGV[10] and (before[2] ~= tenant or is_alone)
    if not is_other then
      if not counts then redis.call('HSET', limits, 'sj', ARGV[10], 'sw', tenant, 'sa', now) end
      return 0
    end
    if before[2] == tenant then only = tenant end
  end
end
if is_shut and what ~= 'locked' and what ~= 'down' and redis.call('HGET', limits, 'only') == tenant then
  only = tenant
end
local trips = (tonumber(found[4] or nil) or 0) + 1
local wait = math.min(tonumber(ARGV[7]) * 2 ^ math.min(trips - 1, 20), tonumber(ARGV[8]))
redis.call('HDEL', limits, 'probe', 'fails', 'fw', 'fo', 'sj', 'sw', 'sa', 'only', 'words')
redis.call('HSET', limits, 'shut', now + wait, 'by', by, 'code', ARGV[6], 'since', found[5] or now, 'trips', trips)
if only then redis.call('HSET', limits, 'only', only) end
if is_shut then return 0 end
news('vendor.paused', { by = by, code = ARGV[6], until_ms = now + wait, tenant = only })
return 1
