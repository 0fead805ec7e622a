-- What submissions and requests tell of a vendor, and what an operator says of its gate.
-- KEYS: 1 the vendor's limits, 2 its submit queue
-- ARGV: 1 wake channel, 2 what:
--   'unprobed': the submission that was let through tells nothing
--   'ok' how long its task takes to fail, in ms: a submission was answered
--   'locked' code, words, wait in ms, longest wait in ms: key, plan or balance refuse; the gate is shut
--   'failing' code, words, wait, longest wait, how many in a row shut the gate, how many this counts for
--   'throttled' bucket (c or r), the setting of its rate, requests a minute that were named (0: none), wait in ms
--     that was named (0: none)
--   'shut' until when (0: until it is opened), words: by hand
--   'open': by hand
-- Returns 1 when the gate was shut or opened by this.
local limits, what = KEYS[1], ARGV[2]

local function wake()
  redis.call('DEL', KEYS[2] .. ':idle')
  redis.call('PUBLISH', ARGV[1], KEYS[2])
end

if what == 'throttled' then
  local prefix = ARGV[3]
  local bucket = bucket_of(redis.call('HMGET', limits, unpack(fields_of(prefix))), 1)
  learn(now, bucket, tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]))
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
  redis.call('HSET', limits, 'shut', ARGV[3], 'by', 'hand', 'code', 'shut_by_hand', 'words', ARGV[4], 'since', now)
  return is_shut and by_hand and 0 or 1
elseif what == 'open' then
  open_gate(limits)
  redis.call('HDEL', limits, 'cp', 'rp')
  wake()
  return is_shut and 1 or 0
elseif by_hand then
  return 0
elseif what == 'ok' then
  if not is_shut then
    redis.call('HDEL', limits, 'fails', 'trips')
    return 0
  end
  -- Only the submission that was let through to find out says that the gate may open.
  if not found[3] then return 0 end
  if found[6] == 'vendor_setup_failed' then
    -- Not the submission fails there, but its task.
    redis.call('HDEL', limits, 'probe')
    redis.call('HSET', limits, 'by', 'trial', 'shut', now + tonumber(ARGV[3]))
    return 0
  end
  open_gate(limits)
  wake()
  return 1
end

if is_shut and not probing then return 0 end
if what == 'failing' and not is_shut and redis.call('HINCRBY', limits, 'fails', ARGV[8]) < tonumber(ARGV[7]) then
  return 0
end
local trips = (tonumber(found[4] or nil) or 0) + 1
local wait = math.min(tonumber(ARGV[5]) * 2 ^ math.min(trips - 1, 20), tonumber(ARGV[6]))
redis.call('HDEL', limits, 'probe', 'fails')
redis.call('HSET', limits, 'shut', now + wait, 'by', what, 'code', ARGV[3], 'words', ARGV[4], 'since',
  found[5] or now, 'trips', trips)
return is_shut and 0 or 1
