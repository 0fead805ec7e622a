-- Keeps refused lines, each once whatever the upload: the first so many, as far as the tenant has room for them.
-- KEYS: 1 refused lines, 2 batch, 3 tenant's hash, 4 events
-- ARGV: 1 most, 2 limits of the tenant's account, then for each line: its number, it as JSON, which begins with its upload
-- Returns how many were not kept for want of room
local account = account_of(KEYS[3], KEYS[4], ARGV[2])
if redis.call('EXISTS', KEYS[2]) == 0 then return (#ARGV - 2) / 2 end
local room, bytes, left_out = account:room('rejected'), 0, 0
local function said(json) return (string.gsub(json, '^{"upload":"[^"]*",', '{', 1)) end
for arg = 3, #ARGV, 2 do
  for _, known in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[arg], ARGV[arg], 'LIMIT', 0, 20)) do
    if said(known) == said(ARGV[arg + 1]) then
      redis.call('ZREM', KEYS[1], known)
      bytes = bytes - ROW - #known
    end
  end
  local more = ROW + #ARGV[arg + 1]
  if bytes + more > room then
    left_out = left_out + 1
  elseif redis.call('ZADD', KEYS[1], ARGV[arg], ARGV[arg + 1]) == 1 then
    bytes = bytes + more
  end
end
-- The first lines tell most: beyond so many the last ones go.
local beyond = redis.call('ZRANGE', KEYS[1], ARGV[1], -1)
for _, line in ipairs(beyond) do bytes = bytes - ROW - #line end
if #beyond > 0 then redis.call('ZREMRANGEBYRANK', KEYS[1], ARGV[1], -1) end
charge_batch(account, KEYS[2], 'rejected', bytes)
-- A batch that expires takes its lines along.
local left = redis.call('PTTL', KEYS[2])
if left >= 0 then redis.call('PEXPIRE', KEYS[1], left) end
account:close()
return left_out
