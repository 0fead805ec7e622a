-- Takes endpoints that have webhooks due, each with some of them, for a lease. An endpoint is one worker's at a time,
-- so that a slow one delays only itself. Tenants take turns, and none gets more places than it leaves free; the same holds
-- for the slow lane within its places. So there is always a place for whoever has none yet.
-- KEYS: 1 notify, 2 notifying, 3 outbox
-- ARGV: 1 free places, 2 how many of them the slow lane may have, 3 most webhooks of an endpoint, 4 lease in ms,
--   5 prefix of webhooks, 6 prefix of waiting webhooks, 7 longest sleep in ms, then for each tenant that has places: tenant,
--   how many, how many of them in the slow lane
-- Returns: when something will be due (or -1), then for each webhook: tenant/endpoint, 'slow' or '', fence, id, webhook,
--   payload
local slow_lane, fence = KEYS[1] .. ':slow', string.format('%.0f', now + ARGV[4])
for _, whose in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 100)) do
  redis.call('ZREM', KEYS[2], whose)
  put(KEYS[1], whose, now)
end
local free = { all = tonumber(ARGV[1]), slow = tonumber(ARGV[2]) }
local has, holders = { all = {}, slow = {} }, 0
for arg = 8, #ARGV, 3 do
  has.all[ARGV[arg]], has.slow[ARGV[arg]] = tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2])
  holders = holders + 1
end
-- Whose turn it is, in the order in which it came to be. Only who has places can be passed by: this is enough for all,
-- and where as many are found there may be more of a lane. A slow lane without a free place has nothing for anybody.
local turns, most, more = {}, free.all + holders, { all = false, slow = false }
local lanes = { all = KEYS[1], slow = free.slow > 0 and slow_lane or nil }
for kind, lane in pairs(lanes) do
  local found = redis.call('ZRANGEBYSCORE', lane, '-inf', now, 'WITHSCORES', 'LIMIT', 0, most)
  for i = 1, #found, 2 do
    turns[#turns + 1] = { lane = lane, slow = kind == 'slow', tenant = found[i], since = tonumber(found[i + 1]) }
  end
  more[kind] = #found == most * 2
end
table.sort(turns, function(a, b) return a.since < b.since end)

local out = { -1 }
-- Takes an endpoint with what is due; whether anything is.
local function take(whose, slow)
  local waiting, taken = ARGV[6] .. whose, false
  for _, id in ipairs(guarded('ZRANGEBYSCORE', waiting, '-inf', now, 'LIMIT', 0, ARGV[3])) do
    local webhook = guarded('HMGET', ARGV[5] .. id, 'd', 'p')
    if webhook[1] then
      local n = #out
      out[n + 1], out[n + 2], out[n + 3], out[n + 4] = whose, slow and 'slow' or '', fence, id
      out[n + 5], out[n + 6] = webhook[1], webhook[2] or ''
      taken = true
    else
      guarded('ZREM', waiting, id)
    end
  end
  if taken then
    redis.call('ZADD', KEYS[2], fence, whose)
  else
    local head = guarded('ZRANGE', waiting, 0, 0, 'WITHSCORES')
    if head[2] then put(KEYS[1], whose, math.max(now, head[2])) end
  end
  return taken
end

local function may(tenant, kind) return (has[kind][tenant] or 0) < free[kind] end
local function count(tenant, kind)
  free[kind], has[kind][tenant] = free[kind] - 1, (has[kind][tenant] or 0) + 1
end

-- What holds nothing that is due any more costs a look and no place.
local next_turn, looks = 1, 2 * (#turns + free.all)
while free.all > 0 and turns[next_turn] and looks > 0 do
  local turn = turns[next_turn]
  next_turn, looks = next_turn + 1, looks - 1
  -- Before tenants took turns endpoints stood here themselves.
  if string.find(turn.tenant, '/', 1, true) then
    redis.call('ZREM', turn.lane, turn.tenant)
    put(KEYS[1], turn.tenant, now)
    more.all = true
  end
  if may(turn.tenant, 'all') and (not turn.slow or may(turn.tenant, 'slow')) then
    local endpoints = turn.lane .. ':e:' .. turn.tenant
    local whose = redis.call('ZRANGEBYSCORE', endpoints, '-inf', now, 'LIMIT', 0, 1)[1]
    if whose then
      redis.call('ZREM', endpoints, whose)
      if take(whose, turn.slow) then
        count(turn.tenant, 'all')
        if turn.slow then count(turn.tenant, 'slow') end
      end
      turns[#turns + 1] = turn
    end
    local head = redis.call('ZRANGE', endpoints, 0, 0, 'WITHSCORES')
    if head[2] then
      redis.call('ZADD', turn.lane, math.max(now, head[2]), turn.tenant)
    else
      redis.call('ZREM', turn.lane, turn.tenant)
    end
  end
end

-- Who was passed by comes when a place is free, which its holder knows.
for _, lane in ipairs({ KEYS[1], slow_lane }) do
  local head = redis.call('ZRANGEBYSCORE', lane, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if head[2] and (out[1] == -1 or tonumber(head[2]) < out[1]) then out[1] = tonumber(head[2]) end
end
if free.all > 0 and (looks == 0 or more.all or more.slow and free.slow > 0) then out[1] = now end
if #out == 1 and redis.call('XLEN', KEYS[3]) == 0 then redis.call('SET', KEYS[3] .. ':idle', 1, 'PX', ARGV[7]) end
return out
