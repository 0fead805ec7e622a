-- What several scripts need; stands before each of them.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- How long what was spent on a day is kept, in ms.
local LEDGER_KEPT = 400 * 86400000

-- The number that a text says; none where it is no number that can be counted with.
local function number_of(text)
  local number = tonumber(text or nil)
  return number and number > -math.huge and number < math.huge and number or nil
end

-- Notes a record in a set, since when: a job as its id, anything else as its key. Returns the set.
local function note(name, key)
  local set = string.match(key, '^(.-}):') .. ':' .. name
  redis.call('ZADD', set, 'NX', now, string.match(key, '}:j:(%w+)$') or key)
  return set
end

-- What cannot be read is set aside: it stands in the set `corrupt`.
local function set_aside(key) note('corrupt', key) end

-- A counter that was no number begins anew, and that is told of for a while: its record stands in the set `repaired`.
local REPAIRED_KEPT = 7 * 86400000
local function repaired(key) redis.call('PEXPIRE', note('repaired', key), REPAIRED_KEPT) end

-- What a command gives where there is nothing.
local NOTHING = {
  HGET = false, HSTRLEN = 0, HLEN = 0, HEXISTS = 0, HDEL = 0, HSET = 0, HSETNX = 0,
  XADD = false, XLEN = 0, RPUSH = 0, LPUSH = 0, LPOP = false, RPOP = false, LINDEX = false, LLEN = 0,
  SADD = 0, ZADD = 0, ZREM = 0, ZSCORE = false, ZRANGE = {}, ZRANGEBYSCORE = {}, ZRANDMEMBER = {},
}

-- A command on a record. One that is of another type stops nobody else: it is set aside, and goes on as if there was
-- nothing. A counter that is no number begins anew. Returns as well whether it was so.
local function guarded(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  local err = type(reply) == 'table' and reply.err
  if not err then return reply end
  local is_number = string.find(err, 'is not an integer', 1, true) or string.find(err, 'would overflow', 1, true)
  -- Whatever else went wrong ends the call, as it always does.
  if not is_number and not string.find(err, 'WRONGTYPE', 1, true) then return redis.call(command, key, ...) end
  if command == 'HINCRBY' and is_number then
    local field, by = ...
    by = math.max(number_of(by) or 0, 0)
    redis.call('HSET', key, field, string.format('%.0f', by))
    repaired(key)
    return by, true
  end
  set_aside(key)
  if command == 'HINCRBY' then
    local _, by = ...
    return math.max(tonumber(by), 0), true
  elseif command == 'HMGET' then
    local nothing = {}
    for i = 1, select('#', ...) do nothing[i] = false end
    return nothing, true
  elseif command == 'HGETALL' then
    return {}, true
  end
  return NOTHING[command], true
end

-- Wakes whoever sends notices.
local function wake(outbox)
  if redis.call('DEL', outbox .. ':idle') == 1 then
    redis.call('PUBLISH', string.match(outbox, '^(.*):outbox$') .. ':wake', outbox)
  end
end

-- Puts something into the outbox.
local function tell(outbox, ...)
  guarded('XADD', outbox, '*', ...)
  wake(outbox)
end
