-- A request that may be sent again: it is done once, and its answer is given again.
-- KEYS: 1 what is known of it
-- ARGV: 1 'begin', 'on', 'answer' or 'forget', 2 who does it, 3 how long that, or the answer, is kept in ms, 4 answer
-- Returns for begin: {0} to be done, {1} somebody does it, {2, answer} it was done; else whether it was ours
local known = redis.call('HMGET', KEYS[1], 'owner', 'answer')
if ARGV[1] == 'begin' then
  if known[2] then return { 2, known[2] } end
  if known[1] and known[1] ~= ARGV[2] then return { 1 } end
  redis.call('HSET', KEYS[1], 'owner', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return { 0 }
end
if known[1] ~= ARGV[2] then return { 0 } end
if ARGV[1] == 'forget' then
  redis.call('DEL', KEYS[1])
else
  if ARGV[1] == 'answer' then
    redis.call('HDEL', KEYS[1], 'owner')
    redis.call('HSET', KEYS[1], 'answer', ARGV[4])
  end
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return { 1 }
