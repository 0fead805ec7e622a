-- Takes due jobs out of one queue for a lease.
-- KEYS: 1 queue, 2 this worker's last claim
-- ARGV: 1 most jobs, 2 lease in ms, 3 prefix of records, 4 longest sleep in ms, 5 number of the claim, 6 'again' when
--   the reply to the claim of this number was lost: what it took is handed out again, 7 'r' when requests are wanted,
--   8 for how long a claim keeps all other workers out, in ms; 0 when it does not, 9 'apart' when suspects are wanted and
--   nothing else, 10 'alone' when this process has (nearly) no other job of the queue under way
-- Records are found by the ids in the queue; they share its hash tag.
local queue, most, apart = KEYS[1], tonumber(ARGV[1]), ARGV[9] == 'apart'
local claim = taking({
  prefix = ARGV[3], lease = tonumber(ARGV[2]), request = ARGV[7] == 'r', number = ARGV[5], last = KEYS[2],
  losses = 'a',
})
if ARGV[6] == 'again' and claim:again(queue) then return claim.out end

local LONGEST_TURN = 30000
local turn, keeps_out, turn_of, turn_since = queue .. ':turn', tonumber(ARGV[8])
if keeps_out > 0 then
  turn_of, turn_since = string.match(redis.call('GET', turn) or '', '^(.*) (%d+)$')
  if turn_of and turn_of ~= KEYS[2] then
    claim.out[2] = now + math.max(1, redis.call('PTTL', turn))
    return claim.out
  end
end

-- Others may stand behind what is left, but not all of them are looked at.
local MOST_LEFT = 512
local count, left = 0, 0

local alike

local function wanted(claims)
  if (claims >= SUSPECT) ~= apart then return false end
  if not apart then return true end
  if not alike then
    -- Suspects that were lost twice are claimed a few together, with each loss more an eighth as many, in the end alone.
    alike, most = claims, math.max(1, math.floor(most / 8 ^ (claims - SUSPECT)))
  end
  return claims == alike
end

local exhausted = false
repeat
  local asked = most - count
  local ids = redis.call('ZRANGEBYSCORE', queue, '-inf', now, 'LIMIT', count + left, asked)
  exhausted = #ids < asked
  for _, id in ipairs(ids) do
    local known = claim:read(id)
    local claims = tonumber(known[3]) or 0
    if not known[1] then
      redis.call('ZREM', queue, id)
    elseif count < most and wanted(claims) then
      claim:take(id, known)
      count = count + 1
      -- A submission that was lost with its worker: it comes back to its lane, and may do so again.
      if known[4] and claims == 1 then guarded('HINCRBY', ARGV[3] .. id, 'k', 1) end
    else
      left = left + 1
      if claims >= SUSPECT then claim.out[4] = 1 end
    end
  end
until exhausted or count >= most or left >= MOST_LEFT

if ARGV[10] == 'alone' and count == 1 then
  guarded('HINCRBY', ARGV[3] .. claim.places[2], 'a', 1)
  claim.out[5] = 1
end
if keeps_out > 0 and count > 0 then
  local since = tonumber(turn_since or now)
  -- Who is ill would keep out those who are well: after a while the turn is anybody's.
  if now - since < LONGEST_TURN then redis.call('SET', turn, KEYS[2] .. ' ' .. since, 'PX', keeps_out) end
end
claim:remember(queue)
if count >= most then
  claim.out[2] = now
else
  -- What is left is not waited for: whoever has room for it knows of it.
  local from = left > 0 and '(' .. now or '-inf'
  local head = redis.call('ZRANGEBYSCORE', queue, from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  claim:sleep(queue, tonumber(head[2] or -1), tonumber(ARGV[4]))
end
return claim.out
