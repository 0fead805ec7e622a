-- Writes what became of jobs: record, queue place, counts and event in one write, if the version is still the
-- one that was read. Every claim and every commit makes a new version, so a stale fence cannot commit.
-- KEYS: 1 events, 2 ended jobs (of a tenant, with its name behind), 3 totals, 4 outbox, then for each job: its record, the queue it leaves, the queue
--   it enters, its tenant's hash, its batch, its batch's members, its batch's refused lines, what was spent on the day of its submission (keys that do not apply are
--   the record's own)
-- ARGV: 1 limits of events, 2 wake channel, 3 retention in ms, 4 most ended jobs of a tenant, 5 prefix of records, 6 limits of
--   accounts, then for each job: id, version, record, due, from state, to state, vendor, flags, event,
--   lane it leaves, lane it enters ('' for none), what its next submission is priced by, and what the ledger is
--   told: `field by field by …`
--   flags: 'l' leaves a queue, 'e' enters one, 'b' has a batch, 'f' is final now, 'w' was final before, 'n' its
--   tenant's endpoints want to know
-- Returns for each job: the new version, or 0 for a stale one, or -1 when there is no such job
local events, channel, retention, most, prefix = events_of(KEYS[1], ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local results, batches, soonest, ended, gone, come, tenants = {}, {}, {}, {}, {}, {}, {}
local lanes, left, freed, books = {}, {}, {}, {}

-- The submit queue of the vendor whose tasks under way stand in this queue.
local function submit_queue_of(queue)
  local base, stage, vendor = string.match(queue, '^(.*:q:)(%l+):([^:]+)$')
  if stage == 'poll' or stage == 'resolve' or stage == 'cancel' then return base .. 'submit:' .. vendor end
end

-- What each tenant has, while it is changed.
local function of_tenant(key)
  local found = tenants[key]
  if not found then
    found = {
      name = string.match(key, '}:t:(.*)$'), account = account_of(key, KEYS[1], ARGV[6]), open = 0, ended = {},
    }
    tenants[key] = found
  end
  return found
end

local function has_endpoints(of, key)
  if of.told == nil then of.told = (tonumber(guarded('HGET', key, 'endpoints') or nil) or 0) > 0 end
  return of.told
end

local FINAL = { completed = true, failed = true, canceled = true }

-- What its new record changes in what a job takes, and in when that goes.
local function charge_job(account, job, before, record, was_final, is_final)
  local request = (was_final or is_final) and guarded('HSTRLEN', job, 'r') or 0
  if was_final then
    local moment = account:moment_of('jobs', job)
    if moment then account:stays('jobs', JOB + before + request, moment) end
  end
  account:add('jobs', #record - before)
  if is_final then account:expires('jobs', JOB + #record + request, account:moment('jobs', now + retention)) end
end

local arg, key = 7, 5
while arg <= #ARGV do
  local id, version, due, flags = ARGV[arg], ARGV[arg + 1], tonumber(ARGV[arg + 3]), ARGV[arg + 7]
  local from, to = ARGV[arg + 4], ARGV[arg + 5]
  local job, leaves, enters, tenant, batch = KEYS[key], KEYS[key + 1], KEYS[key + 2], KEYS[key + 3], KEYS[key + 4]
  local has = function(flag) return string.find(flags, flag, 1, true) end
  local claimed = guarded('HMGET', job, 'v', 'x', 'c', 'q')
  local known = claimed[1]
  if not known then
    results[#results + 1] = -1
  elseif known ~= version then
    results[#results + 1] = 0
  else
    local has_more = of_tenant(tenant)
    -- One that was taken in before there were accounts is in none.
    if claimed[4] then
      charge_job(has_more.account, job, guarded('HSTRLEN', job, 'd'), ARGV[arg + 2], FINAL[from], has('f'))
    end
    guarded('HSET', job, 'd', ARGV[arg + 2], 'v', known + 1)
    -- Lost submissions are forgotten when one came to something while its own worker had it.
    local forget = claimed[2] and claimed[3] == '1' or has('f')
    guarded('HDEL', job, 'x', 'c', 'a', 's', forget and 'k' or 'p', 'p')
    local out_of, into = ARGV[arg + 9], ARGV[arg + 10]
    if has('l') and (leaves ~= enters or out_of ~= '') then
      gone[leaves] = gone[leaves] or {}
      table.insert(gone[leaves], id)
      if out_of ~= '' then
        local of = left[leaves] or {}
        left[leaves] = of
        of[out_of] = of[out_of] or {}
        table.insert(of[out_of], id)
      end
      -- Whoever leaves the tasks under way makes room for another.
      local submit = submit_queue_of(leaves)
      if submit and not (has('e') and submit_queue_of(enters)) then freed[submit] = true end
    end
    if has('e') then
      if into ~= '' and ARGV[arg + 11] ~= '' then guarded('HSET', job, 's', ARGV[arg + 11]) end
      local places
      if into ~= '' and due <= now then
        local of = lanes[enters] or {}
        lanes[enters] = of
        places = of[into] or {}
        of[into] = places
      else
        places = come[enters] or {}
        come[enters] = places
      end
      places[#places + 1], places[#places + 2] = due, id
      if not soonest[enters] or due < soonest[enters] then soonest[enters] = due end
    end
    if ARGV[arg + 12] ~= '' then
      for field, by in string.gmatch(ARGV[arg + 12], '(%S+) (%S+)') do
        local book = field ~= 'spent' and KEYS[key + 7] or has('b') and batch
        if book then
          books[book] = books[book] or {}
          books[book][field] = (books[book][field] or 0) + by
        end
      end
    end
    if from ~= to then
      events:add(has_more.name, 'e', ARGV[arg + 8])
      if has('n') and has_endpoints(has_more, tenant) then
        tell(KEYS[4], 'e', ARGV[arg + 8], 's', (guarded('HINCRBY', job, 'told', 1)))
      end
      if has('f') ~= has('w') then has_more.open = has_more.open + (has('f') and -1 or 1) end
      if has('b') then
        local of = batches[batch]
          or { members = KEYS[key + 5], refused = KEYS[key + 6], tenant = tenant, counts = {} }
        of.counts[from] = (of.counts[from] or 0) - 1
        of.counts[to] = (of.counts[to] or 0) + 1
        of.ends, of.goes_on = of.ends or has('f'), of.goes_on or has('w')
        batches[batch] = of
      end
    end
    if has('f') then
      local what = ARGV[arg + 6] .. ':' .. to
      ended[what] = (ended[what] or 0) + 1
      redis.call('PEXPIRE', job, retention)
      table.insert(has_more.ended, id .. ':' .. known + 1)
    elseif has('w') then
      redis.call('PERSIST', job)
    end
    results[#results + 1] = known + 1
  end
  arg, key = arg + 13, key + 8
end

for queue, ids in pairs(gone) do redis.call('ZREM', queue, unpack(ids)) end
for queue, of in pairs(left) do
  for lane, ids in pairs(of) do leave_lane(queue, lane, ids) end
end
for queue, places in pairs(come) do redis.call('ZADD', queue, unpack(places)) end
for queue, places in pairs(lanes) do enter_lanes(queue, places) end
for queue, due in pairs(soonest) do wake_queue(queue, due, channel) end
for queue in pairs(freed) do
  if redis.call('GET', queue .. ':idle') == '-1' then wake_queue(queue, -2, channel) end
end

for book, sums in pairs(books) do
  for field, by in pairs(sums) do
    if by ~= 0 then guarded('HINCRBY', book, field, string.format('%d', by)) end
  end
  if not sums.spent then redis.call('PEXPIRE', book, LEDGER_KEPT) end
end
for batch, of in pairs(batches) do
  for state, change in pairs(of.counts) do
    if change ~= 0 then guarded('HINCRBY', batch, state, change) end
  end
  if of.goes_on then
    guarded('HDEL', batch, 'closed')
    batch_expires(of_tenant(of.tenant).account, batch, nil)
    redis.call('PERSIST', batch)
    redis.call('PERSIST', of.members)
    redis.call('PERSIST', of.refused)
  end
  if of.ends then
    -- The last one closes the batch; as long as one of its jobs may go on, it is kept.
    close_if_over({
      batch = batch, members = of.members, refused = of.refused, events = events, outbox = KEYS[4],
      tenant = of.tenant, account = of_tenant(of.tenant).account, retention = retention,
    })
  end
end
for what, count in pairs(ended) do guarded('HINCRBY', KEYS[3], what, count) end

-- Oldest first, so that no more are kept than may be. One that has another version now was taken by its time, or
-- revived by an operator: its entry goes, the job stays.
local function keep_ended(of)
  local list = KEYS[2] .. ':' .. of.name
  if guarded('RPUSH', list, unpack(of.ended)) == 0 then return end
  redis.call('PEXPIRE', list, retention)
  for _ = 1, 3 * #of.ended do
    local oldest = redis.call('LINDEX', list, 0)
    if not oldest then break end
    local id, version = string.match(oldest, '^(%w+):(%d+)$')
    local known = id and guarded('HMGET', prefix .. id, 'v', 'z', 'q')
    local ours = known and (known[1] == version or known[2] == version)
    if ours and redis.call('LLEN', list) <= most then break end
    redis.call('LPOP', list)
    if ours then
      local job = prefix .. id
      local bytes = JOB + guarded('HSTRLEN', job, 'd') + guarded('HSTRLEN', job, 'r')
      local moment = of.account:moment_of('jobs', job)
      if moment and known[3] then of.account:drop('jobs', bytes, moment) end
      redis.call('UNLINK', job)
    end
  end
end
for tenant, of in pairs(tenants) do
  -- Never below nothing: jobs of before there were counts end too.
  if of.open ~= 0 and guarded('HINCRBY', tenant, 'open', of.open) < 0 then guarded('HSET', tenant, 'open', 0) end
  if #of.ended > 0 then keep_ended(of) end
  of.account:close()
end
events:close()
return results
