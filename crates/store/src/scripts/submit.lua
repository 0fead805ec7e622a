-- Takes jobs that may be submitted to a vendor now: fairly shared, within its limits, while its gate is open and there
-- is money left. The intent is written before anything is sent: a job moves to the resolve queue, due when the lease
-- ends, so a worker that dies leaves it on its way.
-- KEYS: 1 queue of those that wait for their time, 2 resolve queue, 3 this worker's last claim, 4 the vendor's limits,
--   5 poll queue, 6 cancel queue, 7 prices and budgets of the fleet, 8 events, 9 outbox
-- ARGV: 1 most jobs, 2 lease in ms, 3 prefix of records, 4 longest sleep in ms, 5 number of the claim, 6 'again' when
--   the reply to the claim of this number was lost, 7 prefix of batches, 8 prefix of tenants, 9 vendor, 10 prefix of
--   what is spent on a day, 11 most jobs under way (0: any number), 12 most submissions a minute (0: any number), 13 how
--   many of them at once (0: a hundredth), 14 limits of events, 15 'apart' when one suspect is wanted and nothing else
local queue, share, limits = KEYS[1], share_of(KEYS[1]), KEYS[4]
local most, longest = tonumber(ARGV[1]), tonumber(ARGV[4])
local events = events_of(KEYS[8], ARGV[14])
local news_at = { events = events, outbox = KEYS[9], tenants = ARGV[8] }
local claim = taking({
  prefix = ARGV[3], lease = tonumber(ARGV[2]), request = true, number = ARGV[5], last = KEYS[3], losses = 'k',
})
local apart = ARGV[15] == 'apart'
if ARGV[6] == 'again' and claim:again(KEYS[2]) then return claim.out end

-- What songs cost here, and what may be spent in millionths (0: anything): today, today by a tenant, for a batch.
local fleet = guarded('HMGET', KEYS[7], 'seeded', 'day', 'tenant_day', 'batch', 't:' .. ARGV[9])
if not fleet[1] then return redis.error_reply('UNSEEDED nobody has said what songs cost and what may be spent') end
local terms = fleet[5] and terms_in(fleet[5]) or nil
-- Where nobody can tell what a song costs none is submitted.
if fleet[5] and not terms then
  set_aside(KEYS[7])
  claim:sleep(queue, -1, longest, 0)
  return claim.out
end
-- What a job costs by what it is priced by, and what is written down of that; most of a claim's jobs are alike.
local costs = {}
local function cost_of(by)
  local cost = costs[by]
  if not cost then
    local price = price_of(terms, by)
    cost = { price = price, text = string.format('%.0f %s', price, fleet[5] or '') }
    costs[by] = cost
  end
  return cost
end

-- Those whose time has come, a bounded number of them, and lanes that had no money left.
local due = redis.call('ZRANGEBYSCORE', queue, '-inf', now, 'WITHSCORES', 'LIMIT', 0, 128)
local places = {}
for i = 1, #due, 2 do
  local job = ARGV[3] .. due[i]
  local record = guarded('HGET', job, 'd')
  local lane = record and lane_in(record)
  if lane then
    local list = places[lane] or {}
    list[#list + 1], list[#list + 2] = due[i + 1], due[i]
    places[lane] = list
  elseif redis.call('EXISTS', job) == 1 then
    set_aside(job)
  end
end
if #due > 0 then
  redis.call('ZREMRANGEBYRANK', queue, 0, #due / 2 - 1)
  enter_lanes(queue, places)
end
for _, lane in ipairs(redis.call('ZRANGEBYSCORE', share .. '~', '-inf', now, 'LIMIT', 0, 64)) do
  redis.call('ZREM', share .. '~', lane)
  activate(share, lane)
end

-- The gate, the room and the pace.
local known = guarded('HMGET', limits, 'shut', 'by', 'probe', 'fails', 'trips', 'sj', 'only', 'tw', 'ta', 'tb',
  unpack(fields_of('c')))
local shut, by, probe = tonumber(known[1] or nil), known[2], tonumber(known[3] or nil) or 0
if known[1] or known[4] or known[5] or known[6] then claim.out[3] = 1 end
local probing, except = false, nil
if shut then
  if (by == 'hand' or by == 'trial') and shut > 0 and shut <= now then
    open_gate(limits)
    tell_news({ kind = 'vendor.resumed', vendor = ARGV[9], tenant = known[7] or nil }, news_at)
    events:close()
  elseif by ~= 'hand' and known[7] and shut > now and probe <= now then
    -- One tenant's failures shut it: whether they are the vendor's, another tenant's submission finds out.
    most, probing, except = 1, true, known[7]
    claim.out[3] = 2
  elseif by == 'hand' or shut > now or probe > now then
    claim:sleep(queue, shut == 0 and -1 or math.max(shut, by == 'hand' and 0 or probe), longest, 0)
    return claim.out
  else
    most, probing = 1, true
    claim.out[3] = 2
  end
end
local cap = tonumber(ARGV[11])
if cap > 0 then
  local room = cap - redis.call('ZCARD', KEYS[2]) - redis.call('ZCARD', KEYS[5]) - redis.call('ZCARD', KEYS[6])
  if room <= 0 then
    claim:sleep(queue, -1, longest, -1)
    return claim.out
  end
  most = math.min(most, room)
end
local bucket = bucket_of(known, 11)
local rate, burst = tonumber(ARGV[12]), tonumber(ARGV[13])
local allowed, next_at = may(now, most, bucket, rate, burst)
if allowed == 0 then
  claim:sleep(queue, math.max(next_at, now + 10), longest, 0)
  return claim.out
end

-- What may be spent, and what is spent already, asked once each.
local ledger = ARGV[10] .. math.floor(now / 86400000)
local purses = {}
local function purse(name, of, key, field, most_key, most_field, otherwise)
  local found = purses[name]
  if not found then
    local own = most_key and guarded('HGET', most_key, most_field)
    if own and not number_of(own) then set_aside(most_key) end
    local most_of_it = number_of(own) or number_of(otherwise) or 0
    found = { of = of, key = key, field = field, most = most_of_it, more = 0 }
    if found.most > 0 then
      local spent = guarded('HGET', key, field)
      if spent and not number_of(spent) then set_aside(key) end
      found.spent = number_of(spent) or 0
    end
    purses[name] = found
  end
  return found
end

-- The purses that a submission is paid from.
local function purses_of(tenant, batch)
  local list = {
    purse('=', { budget = 'day' }, ledger, '=', nil, nil, fleet[2]),
    purse('t' .. tenant, { budget = 'tenant_day', tenant = tenant }, ledger, '=' .. tenant, ARGV[8] .. tenant, 'max_spend',
      fleet[3]),
  }
  if batch then
    local key = ARGV[7] .. batch
    list[3] = purse('b' .. batch, { budget = 'batch', tenant = tenant, batch = batch }, key, 'spent', key, 'budget', fleet[4])
  end
  return list
end

-- One job after the other, always of who has had the least.
local counts = {}
local function next_of(lane)
  while true do
    if lane.at > #lane.ids then
      lane.chunk = math.min(lane.chunk * 2, most)
      lane.ids, lane.at = redis.call('ZRANGE', lane.key, lane.taken, lane.taken + lane.chunk - 1), 1
      if #lane.ids == 0 then return nil end
    end
    local id = lane.ids[lane.at]
    local job = claim:read(id)
    if job[1] then
      local suspect = (tonumber(job[7]) or 0) >= SUSPECT
      if suspect ~= apart then
        -- Its lane waits for it, or for its time; the others do not.
        lane.waits = true
        if suspect then claim.out[4] = 1 end
        return nil
      end
      local cost, batch = cost_of(job[9] or ''), job[5]
      local price = cost.price
      local paid_from = price > 0 and purses_of(lane.tenant, batch) or {}
      for _, from in ipairs(paid_from) do
        if from.most > 0 and from.spent + from.more + price > from.most then
          from.reached = true
          return nil, true
        end
      end
      job.reserves = cost.text
      for _, from in ipairs(paid_from) do from.more = from.more + price end
      local count = counts[lane.tenant] or { jobs = 0, price = 0 }
      count.jobs, count.price = count.jobs + 1, count.price + price
      counts[lane.tenant] = count
    end
    lane.at, lane.taken = lane.at + 1, lane.taken + 1
    if job[1] then return id, job end
  end
end

local weights = {
  function(tenant) return guarded('HGET', ARGV[8] .. tenant, 'weight') end,
  function(_, class) return CLASS_WEIGHTS[class] end,
  function(tenant, _, batch)
    local name = string.gsub(batch, '%+$', '')
    if name == '' then return 1 end
    return guarded('HGET', ARGV[7] .. (tenant == 'default' and '' or tenant .. '/') .. name, 'weight')
  end,
}
if apart then allowed = 1 end
local tree = tree_of(queue, most, weights, except)
local begun, count = {}, 0
while count < allowed do
  local id, job = tree:pick(next_of)
  if not id then break end
  claim:take(id, job, now, job.reserves)
  count = count + 1
  if job[5] then begun[job[5]] = (begun[job[5]] or 0) + 1 end
end
tree:close(now + 5000)
claim:remember(KEYS[2])

-- Each limit is told of once when four fifths of it are used, and once when it keeps jobs waiting.
local function tell_of(from, kind)
  local flag = (kind == 'budget.warning' and '!' or '?') .. from.field
  local limit = string.format('%.0f', from.most)
  if guarded('HGET', from.key, flag) == limit then return end
  guarded('HSET', from.key, flag, limit)
  if from.key == ledger then redis.call('PEXPIRE', ledger, LEDGER_KEPT) end
  local news = { kind = kind, limit = from.most, spent = from.spent + from.more }
  for name, value in pairs(from.of) do news[name] = value end
  tell_news(news, news_at)
end
for _, from in pairs(purses) do
  if from.reached then
    tell_of(from, 'budget.reached')
  elseif from.most > 0 and from.spent + from.more >= 0.8 * from.most then
    tell_of(from, 'budget.warning')
  end
end
events:close()

for batch, number in pairs(begun) do
  guarded('HINCRBY', ARGV[7] .. batch, 'queued', -number)
  guarded('HINCRBY', ARGV[7] .. batch, 'submitting', number)
end
if count > 0 then
  spend(now, count, bucket, rate, burst)
  keep(limits, 'c', bucket)
  if probing then guarded('HSET', limits, 'probe', now + claim.of.lease) end
  -- Who submitted last, and when anybody else did.
  local tenants, last, before = 0, known[8], tonumber(known[10] or nil)
  for tenant in pairs(counts) do
    tenants = tenants + 1
    if tenant ~= known[8] then last, before = tenant, known[9] end
  end
  if tenants > 1 then before = now end
  guarded('HSET', limits, 'tw', last, 'ta', now)
  if before then guarded('HSET', limits, 'tb', before) end
  for tenant, sum in pairs(counts) do
    local whose = ARGV[9] .. '|' .. tenant
    guarded('HINCRBY', ledger, 'sent|' .. whose, sum.jobs)
    if sum.price > 0 then guarded('HINCRBY', ledger, 'sent_price|' .. whose, sum.price) end
  end
  for _, from in pairs(purses) do
    if from.more > 0 then guarded('HINCRBY', from.key, from.field, from.more) end
  end
  redis.call('PEXPIRE', ledger, LEDGER_KEPT)
end

if tree.more or (count == allowed and count == tonumber(ARGV[1])) then
  -- Lanes that wait for a suspect stand before the others until it is taken.
  claim.out[2] = count == 0 and claim.out[4] == 1 and now + 100 or now
elseif count == allowed then
  -- There may be more, but not yet: for a probe's end, for room, or for the next one that may be submitted.
  if probing then
    claim:sleep(queue, now + claim.of.lease, longest, 0)
  elseif allowed < most then
    claim:sleep(queue, math.max(next_at, now + 10), longest, 0)
  else
    claim:sleep(queue, -1, longest, -1)
  end
else
  local head = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
  local poor = redis.call('ZRANGE', share .. '~', 0, 0, 'WITHSCORES')
  local first = math.min(tonumber(head[2] or math.huge), tonumber(poor[2] or math.huge), except and shut or math.huge)
  claim:sleep(queue, first < math.huge and first or -1, longest)
end
return claim.out
