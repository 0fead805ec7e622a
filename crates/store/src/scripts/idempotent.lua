-- A request that may be sent again: it is done once, and its answer is given again.
-- KEYS: 1 what is known of it, 2 tenant's hash, 3 events
-- ARGV: 1 'begin', 'on', 'answer' or 'forget', 2 who does it, 3 how long that, or the answer, is kept in ms, 4 answer,
--   5 limits of the tenant's account
-- Returns for begin: {0} to be done, {1} somebody does it, {2, answer} it was done, {3} the tenant has no room for the
--   answer; else whether it was ours
local known = guarded('HMGET', KEYS[1], 'owner', 'answer')
local account = account_of(KEYS[2], KEYS[3], ARGV[5])
if ARGV[1] == 'begin' then
  if known[2] then return { 2, known[2] } end
  if known[1] and known[1] ~= ARGV[2] then return { 1 } end
  if account:room('answers') < KEY then return { 3 } end
  guarded('HSET', KEYS[1], 'owner', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return { 0 }
end
if known[1] ~= ARGV[2] then return { 0 } end
if ARGV[1] == 'forget' then
  redis.call('DEL', KEYS[1])
else
  if ARGV[1] == 'answer' then
    guarded('HDEL', KEYS[1], 'owner')
    guarded('HSET', KEYS[1], 'answer', ARGV[4])
    account:keep('answers', KEY + #KEYS[1] + #ARGV[4], account:moment('answers', now + ARGV[3]))
    account:close()
  end
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return { 1 }
