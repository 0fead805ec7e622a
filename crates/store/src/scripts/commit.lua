-- Writes what became of jobs: record, queue place, counts and event in one write, if the version is still the
-- one that was read. Every claim and every commit makes a new version, so a stale fence cannot commit.
-- KEYS: 1 events, 2 ended jobs, 3 totals, then for each job: its record, the queue it leaves, the queue it
--   enters, its batch, its batch's members (keys that do not apply are the record's own)
-- ARGV: 1 events kept, 2 wake channel, 3 retention in ms, 4 most ended jobs, 5 prefix of records, then for each
--   job: id, version, record, due, from state, to state, vendor, flags, event
--   flags: 'l' leaves a queue, 'e' enters one, 'b' has a batch, 'f' is final now, 'w' was final before
-- Returns for each job: the new version, or 0 for a stale one, or -1 when there is no such job
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local kept, channel, retention, most, prefix = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local results = {}
local arg, key = 6, 4
while arg <= #ARGV do
  local id, version, due, flags = ARGV[arg], ARGV[arg + 1], tonumber(ARGV[arg + 3]), ARGV[arg + 7]
  local from, to, vendor = ARGV[arg + 4], ARGV[arg + 5], ARGV[arg + 6]
  local job, leaves, enters, batch = KEYS[key], KEYS[key + 1], KEYS[key + 2], KEYS[key + 3]
  local known = redis.call('HGET', job, 'v')
  if not known then
    results[#results + 1] = -1
  elseif known ~= version then
    results[#results + 1] = 0
  else
    redis.call('HSET', job, 'd', ARGV[arg + 2], 'v', known + 1)
    redis.call('HDEL', job, 'x', 'c')
    if string.find(flags, 'l', 1, true) and leaves ~= enters then
      redis.call('ZREM', leaves, id)
    end
    if string.find(flags, 'e', 1, true) then
      redis.call('ZADD', enters, due, id)
      local asleep = redis.call('GET', enters .. ':idle')
      if asleep and due < tonumber(asleep) then
        redis.call('DEL', enters .. ':idle')
        redis.call('PUBLISH', channel, enters)
      end
    end
    if from ~= to then
      if string.find(flags, 'b', 1, true) then
        redis.call('HINCRBY', batch, from, -1)
        redis.call('HINCRBY', batch, to, 1)
      end
      redis.call('XADD', KEYS[1], 'MAXLEN', '~', kept, '*', 'e', ARGV[arg + 8])
    end
    if string.find(flags, 'f', 1, true) then
      redis.call('HINCRBY', KEYS[3], vendor .. ':' .. to, 1)
      redis.call('PEXPIRE', job, retention)
      redis.call('RPUSH', KEYS[2], id)
      if string.find(flags, 'b', 1, true) then
        redis.call('PEXPIRE', batch, retention * 2)
        redis.call('PEXPIRE', KEYS[key + 4], retention * 2)
      end
      -- Oldest first, a bounded number; one that an operator has revived since has no expiry and stays.
      for _ = 1, 3 do
        if redis.call('LLEN', KEYS[2]) <= most then break end
        local oldest = redis.call('LPOP', KEYS[2])
        if redis.call('PTTL', prefix .. oldest) > 0 then redis.call('UNLINK', prefix .. oldest) end
      end
    elseif string.find(flags, 'w', 1, true) then
      redis.call('PERSIST', job)
      if string.find(flags, 'b', 1, true) then
        redis.call('PERSIST', batch)
        redis.call('PERSIST', KEYS[key + 4])
      end
    end
    results[#results + 1] = known + 1
  end
  arg, key = arg + 9, key + 5
end
return results
