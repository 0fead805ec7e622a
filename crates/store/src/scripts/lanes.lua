-- Lanes of jobs that may be submitted to a vendor now, with how many jobs stand in each. Writes nothing.
-- KEYS: 1 queue of those that wait for their time
-- ARGV: 1 tenant ('' for all), 2 most lanes
-- Returns lane, count, lane, count, …
local share, out, most = share_of(KEYS[1]), {}, 2 * tonumber(ARGV[2])
local function add(lane)
  local count = redis.call('ZCARD', lane_of(KEYS[1], lane))
  if count > 0 and #out < most then out[#out + 1], out[#out + 2] = lane, count end
end
for _, lane in ipairs(redis.call('ZRANGE', share .. '~', 0, 999)) do
  if ARGV[1] == '' or string.match(lane, '^([^:]*):') == ARGV[1] then add(lane) end
end
for _, tenant in ipairs(ARGV[1] == '' and redis.call('ZRANGE', share, 0, 999) or { ARGV[1] }) do
  for _, class in ipairs(redis.call('ZRANGE', share .. ':' .. tenant, 0, -1)) do
    for _, batch in ipairs(redis.call('ZRANGE', share .. ':' .. tenant .. ':' .. class, 0, 999)) do
      if #out >= most then return out end
      add(tenant .. ':' .. class .. ':' .. batch)
    end
  end
end
return out
