-- Handing out claimed jobs: what the scripts have in common that take jobs for a lease.
-- A reply begins with: now, when to come again (-1 when nothing is known to come due), whether the vendor's gate wants
-- to know how submissions end, whether suspects were left, whether the claim counts as one of a job alone; then follow
-- for each job: id, version, claims, earlier claims of it alone, began, what it reserved, record, request.
local Taking = {}
-- So often a job may be lost by its workers in a row before it is a suspect: from then on it is claimed apart, so that
-- it takes no others along should it be what kills them (ADR 22).
local SUSPECT = 2
local HEADER = 5
-- The fields of a record that are numbers, as they are read: version and when a submission began, without which nobody
-- can work on it; and counts, which begin anew: claims, losses.
local NUMBERS, COUNTS = { 2, 4 }, { 3, 7 }

-- of: prefix of records, lease in ms, whether the request is wanted, the claim's number, key of the last claim, and what
-- is read beside it: 'a' claims alone, 'k' submissions that were lost with their worker
local function taking(of)
  return setmetatable({ of = of, out = { now, -1, 0, 0, 0 }, taken = {}, places = {} }, { __index = Taking })
end

-- Whether a text is a number of up to so many digits: what `corrupt.rs` takes for one.
local function is_number(text, most) return #text <= most and string.find(text, '^%d+$') end

-- A record's fields; without the first where there is none, or none that can be read, which is set aside.
function Taking:read(id)
  local job, fields, wrong = self.of.prefix .. id, nil, nil
  if self.of.request then
    fields, wrong = guarded('HMGET', job, 'd', 'v', 'c', 'x', 'b', 'p', self.of.losses, 'r', 's')
  else
    fields, wrong = guarded('HMGET', job, 'd', 'v', 'c', 'x', 'b', 'p', self.of.losses)
  end
  if wrong then return fields end
  for _, place in ipairs(NUMBERS) do
    if fields[place] and not is_number(fields[place], 15) then wrong = true end
  end
  if fields[1] then wrong = wrong or not fields[2] else wrong = redis.call('EXISTS', job) == 1 end
  if wrong then
    set_aside(job)
    fields[1] = false
    return fields
  end
  for _, place in ipairs(COUNTS) do
    if fields[place] and not is_number(fields[place], 9) then
      guarded('HDEL', job, place == 3 and 'c' or self.of.losses)
      fields[place] = false
      repaired(job)
    end
  end
  return fields
end

function Taking:hand_out(id, version, claims, began, price, known)
  local out = self.out
  local n = #out
  out[n + 1], out[n + 2], out[n + 3] = id, version, claims
  out[n + 4], out[n + 5] = self.of.losses == 'a' and tonumber(known[7]) or 0, began
  out[n + 6] = price or ''
  out[n + 7], out[n + 8] = known[1], self.of.request and known[8] or ''
end

-- A job that was read is taken; `began` and `price` where a submission begins.
function Taking:take(id, known, began, price)
  local job = self.of.prefix .. id
  local version, claims = (tonumber(known[2]) or 0) + 1, (tonumber(known[3]) or 0) + 1
  if began then
    guarded('HSET', job, 'v', version, 'c', claims, 'x', began, 'p', price)
  else
    guarded('HSET', job, 'v', version, 'c', claims)
  end
  local places, taken = self.places, self.taken
  places[#places + 1], places[#places + 2] = now + self.of.lease, id
  taken[#taken + 1] = id .. ':' .. version
  self:hand_out(id, version, claims, began or known[4] or 0, price or known[6], known)
end

-- Hands out again what the claim of this number took, whose reply was lost. Says whether that was anything.
function Taking:again(queue)
  local number, last = string.match(redis.call('GET', self.of.last) or '', '^(%d+)(.*)$')
  if number ~= self.of.number then return false end
  for id, version in string.gmatch(last, ' (%w+):(%d+)') do
    local known = self:read(id)
    if known[2] == version then
      redis.call('ZADD', queue, 'XX', now + self.of.lease, id)
      self:hand_out(id, version, tonumber(known[3]) or 0, known[4] or 0, known[6], known)
    end
  end
  self.out[2] = now
  return #self.out > HEADER
end

-- Writes down where the taken jobs wait during the lease, and what was taken.
function Taking:remember(queue)
  if #self.taken == 0 then return end
  redis.call('ZADD', queue, unpack(self.places))
  redis.call('SET', self.of.last, self.of.number .. ' ' .. table.concat(self.taken, ' '), 'PX', self.of.lease)
end

-- How long a queue sleeps: until it is due again (-1: nothing is known to come due), but no longer than `longest`.
-- blocked: nothing that becomes due wakes it: 0 for time alone, -1 for room
function Taking:sleep(queue, due, longest, blocked)
  self.out[2] = due
  local until_ms = now + longest
  if due >= 0 and due < until_ms then until_ms = due end
  redis.call('SET', queue .. ':idle', blocked or until_ms, 'PX', 2 * longest)
end
