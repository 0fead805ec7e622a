-- What submissions and requests tell of a vendor, and what an operator says of its gate.
-- KEYS: 1 the vendor's limits, 2 its submit queue, 3 events, 4 outbox
-- ARGV: 1 wake channel, 2 vendor, 3 limits of events, 4 prefix of tenants, 5 'probe' where the submission is the one that was let
--   through a shut gate, then what:
--   'unprobed': the submission that was let through tells nothing
--   'ok' how long its task takes to fail, in ms: a submission was answered
--   'locked' or 'down' code, wait in ms, longest wait in ms: the vendor says so of our account, or of itself
--   'failing' code, wait, longest wait, tenant, how many in a row shut the gate: for all if they are of two tenants, else for
--     that one
--   'suspected' code, wait, longest wait, tenant, job, what shuts the gate (locked or failing) if another job is refused as
--     well, 'task' where that is said of tasks: for all if that one is another tenant's, else for this one
--   'throttled' bucket (c or r), the setting of its rate, requests a minute that were named (0: none), wait in ms
--     that was named (0: none)
--   'shut' until when (0: until it is opened), words: by hand
--   'open': by hand
-- Returns 1 when the gate was shut or opened by this, 2 when it stays shut and this confirms why.
local limits, what, is_probe = KEYS[1], ARGV[6], ARGV[5] == 'probe'

local function news(kind, more)
  more.kind, more.vendor = kind, ARGV[2]
  local events = events_of(KEYS[3], ARGV[3])
  tell_news(more, { events = events, outbox = KEYS[4], tenants = ARGV[4] })
  events:close()
end

local function wake()
  redis.call('DEL', KEYS[2] .. ':idle')
  redis.call('PUBLISH', ARGV[1], KEYS[2])
end

if what == 'throttled' then
  local prefix = ARGV[7]
  local bucket = bucket_of(guarded('HMGET', limits, unpack(fields_of(prefix))), 1)
  learn(now, bucket, tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]))
  keep(limits, prefix, bucket)
  if prefix == 'c' then guarded('HDEL', limits, 'probe') end
  return 0
end

if what == 'unprobed' then
  if guarded('HDEL', limits, 'probe') == 1 then wake() end
  return 0
end

local found = guarded('HMGET', limits, 'shut', 'by', 'only', 'trips', 'since', 'code')
local is_shut, by_hand, on_trial, only = found[1], found[2] == 'hand', found[2] == 'trial', found[3] or nil

if what == 'shut' then
  open_gate(limits)
  guarded('HSET', limits, 'shut', ARGV[7], 'by', 'hand', 'code', 'shut_by_hand', 'words', ARGV[8], 'since', now)
  if is_shut and by_hand then return 0 end
  news('vendor.paused', { by = 'hand', code = 'shut_by_hand', until_ms = tonumber(ARGV[7]) })
  return 1
elseif what == 'open' then
  open_gate(limits)
  guarded('HDEL', limits, 'cp', 'rp')
  wake()
  if not is_shut then return 0 end
  news('vendor.resumed', {})
  return 1
elseif by_hand then
  return 0
elseif what == 'ok' then
  if not is_shut then
    guarded('HDEL', limits, 'fails', 'trips', 'fw', 'fo')
    if guarded('HGET', limits, 'sk') ~= 'task' then guarded('HDEL', limits, 'sj', 'sw', 'sa', 'sk') end
    return 0
  end
  -- Only the submission that was let through to find out says that the gate may open.
  if not is_probe then return 0 end
  if on_trial or found[6] == 'vendor_setup_failed' then
    -- Not the submission fails there, but its task: it opens when that has had the time to.
    guarded('HDEL', limits, 'probe')
    if not on_trial then guarded('HSET', limits, 'by', 'trial', 'shut', now + tonumber(ARGV[7])) end
    wake()
    return 0
  end
  open_gate(limits)
  wake()
  news('vendor.resumed', { tenant = only })
  return 1
end

-- Submissions that were under way when it was shut tell nothing new, but what the vendor says of all concerns all.
local documented = what == 'locked' or what == 'down'
if is_shut and not is_probe and not on_trial and not (documented and only) then return 0 end
local by, tenant = what == 'down' and 'failing' or what, ARGV[10]
if documented then
  only = nil
elseif is_shut then
  if what == 'suspected' and not on_trial then
    if found[2] ~= 'locked' or found[6] ~= ARGV[7] then
      -- It is about this request as far as anybody knows; another one finds out.
      guarded('HDEL', limits, 'probe')
      wake()
      return 0
    end
    by = 'locked'
  elseif what == 'suspected' then
    by = ARGV[12]
  end
  if only ~= tenant then only = nil end
elseif what == 'failing' then
  local first = guarded('HGET', limits, 'fw')
  if not first then
    guarded('HSET', limits, 'fw', tenant)
  elseif first ~= tenant then
    guarded('HSET', limits, 'fo', 1)
  end
  if guarded('HINCRBY', limits, 'fails', 1) < tonumber(ARGV[11]) then return 0 end
  only = guarded('HEXISTS', limits, 'fo') == 0 and tenant or nil
else
  by = ARGV[12]
  local before = guarded('HMGET', limits, 'sj', 'sw', 'sa')
  local counts = before[1] and now - (tonumber(before[3] or nil) or 0) < LATELY
  if not counts or before[1] == ARGV[11] then
    if not counts then guarded('HSET', limits, 'sj', ARGV[11], 'sw', tenant, 'sa', now, 'sk', ARGV[13]) end
    return 0
  end
  only = before[2] == tenant and tenant or nil
end
local trips = (number_of(found[4]) or 0) + 1
local wait = math.min(tonumber(ARGV[8]) * 2 ^ math.min(trips - 1, 20), tonumber(ARGV[9]))
guarded('HDEL', limits, 'probe', 'fails', 'fw', 'fo', 'sj', 'sw', 'sa', 'sk', 'only', 'alone', 'words')
guarded('HSET', limits, 'shut', now + wait, 'by', by, 'code', ARGV[7], 'since', found[5] or now, 'trips', trips)
if only then
  local last_of_others = tonumber(guarded('HGET', limits, 'tb') or nil)
  local is_alone = not last_of_others or now - last_of_others >= LATELY
  guarded('HSET', limits, 'only', only, 'alone', is_alone and 1 or 0)
end
if is_shut and (only or not found[3]) then return 2 end
news('vendor.paused', { by = by, code = ARGV[7], until_ms = now + wait, tenant = only })
return is_shut and 2 or 1
