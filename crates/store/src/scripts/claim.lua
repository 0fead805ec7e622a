-- Takes due jobs out of one queue for a lease. A submit claim writes the intent before anything is sent: the
-- job moves to the resolve queue, due when the lease ends, so a worker that dies leaves it on its way.
-- KEYS: 1 queue, 2 queue the job waits in during the lease (the resolve queue for submit, else the same),
--   3 this worker's last claim
-- ARGV: 1 most jobs, 2 lease in ms, 3 prefix of records, 4 prefix of batches, 5 longest sleep in ms, 6 what
--   the record is to be returned with: 'r' for the request, '' without, 7 number of the claim, 8 'again' when
--   the reply to the claim of this number was lost: what it took is handed out again
-- Records and batches are found by the ids in the queue; they share its hash tag.
-- Returns: now, when the next job is due (or -1), then for each job: id, version, claims, began, record, request
local most, lease = tonumber(ARGV[1]), tonumber(ARGV[2])
local moves = KEYS[1] ~= KEYS[2]
local with_request = ARGV[6] == 'r'
local out, taken = { now, -1 }, {}

local function read(job)
  if with_request then return redis.call('HMGET', job, 'd', 'v', 'c', 'x', 'b', 'r') end
  return redis.call('HMGET', job, 'd', 'v', 'c', 'x', 'b')
end

local function hand_out(id, version, claims, began, known)
  local n = #out
  out[n + 1], out[n + 2], out[n + 3], out[n + 4] = id, version, claims, began
  out[n + 5], out[n + 6] = known[1], with_request and known[6] or ''
end

if ARGV[8] == 'again' then
  local number, last = string.match(redis.call('GET', KEYS[3]) or '', '^(%d+)(.*)$')
  if number == ARGV[7] then
    for id, version in string.gmatch(last, ' (%w+):(%d+)') do
      local known = read(ARGV[3] .. id)
      if known[2] == version then
        redis.call('ZADD', KEYS[2], 'XX', now + lease, id)
        hand_out(id, version, known[3], known[4] or 0, known)
      end
    end
    if #out > 2 then
      out[2] = now
      return out
    end
  end
end

local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, most)
local begun, places = {}, {}
for _, id in ipairs(ids) do
  local job = ARGV[3] .. id
  local known = read(job)
  if not known[1] then
    if not moves then redis.call('ZREM', KEYS[1], id) end
  else
    local version, claims = known[2] + 1, (known[3] or 0) + 1
    local began = known[4] or 0
    places[#places + 1], places[#places + 2] = now + lease, id
    if moves then
      redis.call('HSET', job, 'v', version, 'c', claims, 'x', now)
      began = now
      local batch = known[5]
      if batch then begun[batch] = (begun[batch] or 0) + 1 end
    else
      redis.call('HSET', job, 'v', version, 'c', claims)
    end
    taken[#taken + 1] = id .. ':' .. version
    hand_out(id, version, claims, began, known)
  end
end
if moves and #ids > 0 then redis.call('ZREMRANGEBYRANK', KEYS[1], 0, #ids - 1) end
if #places > 0 then redis.call('ZADD', KEYS[2], unpack(places)) end
for batch, count in pairs(begun) do
  redis.call('HINCRBY', ARGV[4] .. batch, 'queued', -count)
  redis.call('HINCRBY', ARGV[4] .. batch, 'submitting', count)
end
if #taken > 0 then
  redis.call('SET', KEYS[3], ARGV[7] .. ' ' .. table.concat(taken, ' '), 'PX', lease)
end
if #ids < most then
  local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  local until_ms = now + tonumber(ARGV[5])
  if head[2] then
    out[2] = tonumber(head[2])
    if out[2] < until_ms then until_ms = out[2] end
  end
  redis.call('SET', KEYS[1] .. ':idle', until_ms, 'PX', 2 * tonumber(ARGV[5]))
else
  out[2] = now
end
return out
