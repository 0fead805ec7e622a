-- Takes new jobs in: record, queue place, batch and event in one write.
-- KEYS: 1 events, 2 tenant's batches, 3 batch, 4 batch's members, 5 tenant's hash, 6 tenants, 7 tenant's jobs of the
--   day, 8 deadlines, then for each job: its record, its submit queue
-- ARGV: 1 batch or '', 2 limits of events, 3 wake channel, 4 prefix of batches, 5 tenant, 6 day, 7 how long the jobs of
--   the day are listed in ms, then what a tenant may have where nothing else is said (0: any number): 8 open jobs,
--   9 limits of its account, 10 jobs a day; then 11 prefix of content keys, 12 how long they are kept in ms; then for
--   each job: id, record, request, due, event, lane, what it is priced by, deadline (0: as for all), content key or ''
-- Returns for each job: 1 taken in, 0 known with the same request, -1 known with another request; refused because
--   the tenant may have no more: -2 open jobs, -3 bytes, -4 jobs a day; refused because another job has the same
--   content: that job's id
-- Versions count from the moment a job is taken in: one that comes again after its record has expired must not be
-- taken for what it was before.
local batch, events, channel = ARGV[1], events_of(KEYS[1], ARGV[2]), ARGV[3]
local account = account_of(KEYS[5], KEYS[1], ARGV[9])
local results, taken, queues = {}, {}, {}
local has = guarded('HMGET', KEYS[5], 'open', 'day', 'today', 'max_open', 'max_day')
local function most(own, otherwise)
  local number = number_of(own) or tonumber(otherwise)
  return number > 0 and number or math.huge
end
local most_open, most_today = most(has[4], ARGV[8]), most(has[5], ARGV[10])
local open = number_of(has[1]) or 0
local today = has[2] == ARGV[6] and number_of(has[3]) or 0
local is_new_batch = batch ~= '' and redis.call('EXISTS', KEYS[3]) == 0
local for_batch = is_new_batch and BATCH + 2 * #batch or 0
local room
if is_new_batch then room = account:room('batches') - for_batch end
-- What would be taken of a batch that there is no room for is not.
if not room or room >= 0 then room = account:room('jobs') - for_batch end
local bytes, lists, members = 0, 0, 0
local arg, key = 13, 9
while arg <= #ARGV do
  local id, record, request, due = ARGV[arg], ARGV[arg + 1], ARGV[arg + 2], tonumber(ARGV[arg + 3])
  local lane, by, deadline, content = ARGV[arg + 5], ARGV[arg + 6], ARGV[arg + 7], ARGV[arg + 8]
  local job, queue = KEYS[key], KEYS[key + 1]
  local same = content ~= '' and redis.call('GET', ARGV[11] .. content)
  local old, wrong = guarded('HMGET', job, 'r', 'v')
  local known = old[1]
  local of_job, of_lists = JOB + #record + #request, PLACE + (content ~= '' and KEY + #content or 0)
  local of_batch = batch ~= '' and PLACE or 0
  if known or old[2] or wrong then
    results[#results + 1] = known == request and 0 or -1
  elseif same and same ~= id then
    results[#results + 1] = same
  elseif open + #taken >= most_open then
    results[#results + 1] = -2
  elseif bytes + lists + members + of_job + of_lists + of_batch > room then
    results[#results + 1] = -3
  elseif today + #taken >= most_today then
    results[#results + 1] = -4
  else
    bytes, lists, members = bytes + of_job, lists + of_lists, members + of_batch
    if batch ~= '' then
      guarded('HSET', job, 'd', record, 'r', request, 'v', now, 'q', 1, 'b', batch)
    else
      guarded('HSET', job, 'd', record, 'r', request, 'v', now, 'q', 1)
    end
    if by ~= '' then guarded('HSET', job, 's', by) end
    if content ~= '' then redis.call('SET', ARGV[11] .. content, id, 'PX', ARGV[12]) end
    if deadline ~= '0' then guarded('ZADD', KEYS[8], deadline, id) end
    events:add(ARGV[5], 'e', ARGV[arg + 4])
    local of = queues[queue] or { later = {}, lanes = {}, due = math.huge }
    queues[queue] = of
    local places = of.later
    if due <= now then
      places = of.lanes[lane] or {}
      of.lanes[lane] = places
    end
    places[#places + 1], places[#places + 2] = due, id
    of.due = math.min(of.due, due)
    taken[#taken + 1] = id
    results[#results + 1] = 1
  end
  arg, key = arg + 9, key + 2
end
for queue, of in pairs(queues) do
  if #of.later > 0 then redis.call('ZADD', queue, unpack(of.later)) end
  enter_lanes(queue, of.lanes)
  wake_queue(queue, of.due, channel)
end
if batch ~= '' and #taken > 0 then
  guarded('RPUSH', KEYS[4], unpack(taken))
  if not is_new_batch then batch_expires(account, KEYS[3], nil) end
  charge_batch(account, KEYS[3], 'bytes', for_batch + members)
  if guarded('HSETNX', KEYS[3], 'created', now) == 1 then
    list_batch(KEYS[2], batch, ARGV[4])
  end
  guarded('HDEL', KEYS[3], 'closed')
  guarded('HINCRBY', KEYS[3], 'total', #taken)
  guarded('HINCRBY', KEYS[3], 'queued', #taken)
  redis.call('PERSIST', KEYS[3])
  redis.call('PERSIST', KEYS[4])
end
if #taken > 0 then
  events:close()
  guarded('RPUSH', KEYS[7], unpack(taken))
  redis.call('PEXPIRE', KEYS[7], ARGV[7])
  guarded('HSET', KEYS[5], 'open', open + #taken, 'day', ARGV[6], 'today', today + #taken)
  if not has[1] then guarded('SADD', KEYS[6], ARGV[5]) end
  account:add('jobs', bytes)
  account:keep('lists', lists, account:moment('lists', now + ARGV[7]))
  account:close()
end
return results
