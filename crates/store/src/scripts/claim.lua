-- Takes due jobs out of one queue for a lease.
-- KEYS: 1 queue, 2 this worker's last claim
-- ARGV: 1 most jobs, 2 lease in ms, 3 prefix of records, 4 longest sleep in ms, 5 number of the claim, 6 'again' when
--   the reply to the claim of this number was lost: what it took is handed out again, 7 'r' when requests are wanted,
--   8 for how long a claim keeps all other workers out, in ms; 0 when it does not
-- Records are found by the ids in the queue; they share its hash tag.
local queue, most = KEYS[1], tonumber(ARGV[1])
local claim = taking({
  prefix = ARGV[3], lease = tonumber(ARGV[2]), request = ARGV[7] == 'r', number = ARGV[5], last = KEYS[2],
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

local ids = redis.call('ZRANGEBYSCORE', queue, '-inf', now, 'LIMIT', 0, most)
for _, id in ipairs(ids) do
  local known = claim:read(id)
  if known[1] then
    claim:take(id, known)
  else
    redis.call('ZREM', queue, id)
  end
end
if keeps_out > 0 and #ids > 0 then
  local since = tonumber(turn_since or now)
  -- Who is ill would keep out those who are well: after a while the turn is anybody's.
  if now - since < LONGEST_TURN then redis.call('SET', turn, KEYS[2] .. ' ' .. since, 'PX', keeps_out) end
end
claim:remember(queue)
if #ids < most then
  local head = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
  claim:sleep(queue, tonumber(head[2] or -1), tonumber(ARGV[4]))
else
  claim.out[2] = now
end
return claim.out
