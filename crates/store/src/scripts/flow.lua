-- A vendor's limits, and what is used of them now. Writes nothing.
-- KEYS: 1 the vendor's limits, 2 resolve queue, 3 poll queue, 4 cancel queue, 5 queue of those that wait for their time
-- ARGV: submissions: 1 most a minute, 2 burst; other requests: 3 most a minute, 4 burst
-- Returns one JSON object.
local gate = guarded('HMGET', KEYS[1], 'shut', 'by', 'code', 'words', 'since', 'trips', 'probe', 'fails', 'only', 'alone')
local function bucket(prefix, most, burst)
  local found = bucket_of(guarded('HMGET', KEYS[1], unpack(fields_of(prefix))), 1)
  local _, next_at = may(now, 1, found, most, burst)
  local left = math.max(0, 1 - (now - (found.w or 0)) / 60000)
  local made = now - (found.w or 0) < 60000 and (found.n or 0) + (found.o or 0) * left or 0
  local paused = (found.p or 0) > now
  local allowed = may(now, 1, found, most, burst)
  return {
    most = most, allowed = rate_now(now, found, most), made = math.floor(made), paused = paused,
    next = allowed == 1 and now or next_at,
  }
end
-- Jobs that may be submitted now, in up to a thousand lanes.
local ready, lanes, share = 0, 0, share_of(KEYS[5])
for _, tenant in ipairs(redis.call('ZRANGE', share, 0, 999)) do
  for _, class in ipairs(redis.call('ZRANGE', share .. ':' .. tenant, 0, -1)) do
    for _, batch in ipairs(redis.call('ZRANGE', share .. ':' .. tenant .. ':' .. class, 0, 999)) do
      lanes = lanes + 1
      if lanes > 1000 then break end
      ready = ready + redis.call('ZCARD', lane_of(KEYS[5], tenant .. ':' .. class .. ':' .. batch))
    end
  end
end
for _, lane in ipairs(redis.call('ZRANGE', share .. '~', 0, 999)) do
  ready = ready + redis.call('ZCARD', lane_of(KEYS[5], lane))
end
return cjson.encode({
  shut = number_of(gate[1]), by = gate[2] or nil, code = gate[3] or nil, words = gate[4] or nil,
  since = number_of(gate[5]), trips = number_of(gate[6]), probe = number_of(gate[7]),
  fails = number_of(gate[8]), only = gate[9] or nil, alone = gate[10] == '1',
  in_flight = redis.call('ZCARD', KEYS[2]) + redis.call('ZCARD', KEYS[3]) + redis.call('ZCARD', KEYS[4]),
  creates = bucket('c', tonumber(ARGV[1]), tonumber(ARGV[2])),
  reads = bucket('r', tonumber(ARGV[3]), tonumber(ARGV[4])),
  later = redis.call('ZCARD', KEYS[5]), ready = ready, without_money = redis.call('ZCARD', share .. '~'),
})
