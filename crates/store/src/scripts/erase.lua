-- Puts what is left of things in their place, if each is still what was read.
-- KEYS: the things
-- ARGV: for each thing: what it is, what was read, what is left
--   'job': its version, its record; 'line': a member of a sorted set; 'key': the job of a content, nothing;
--   else the name of a hash's field
-- Returns how many were
local erased = 0
for n, key in ipairs(KEYS) do
  local what, read, left = ARGV[3 * n - 2], ARGV[3 * n - 1], ARGV[3 * n]
  local known = false
  if what == 'job' then
    known = redis.call('HGET', key, 'v') == read
    if known then
      -- The list of ended jobs knows it by this version.
      redis.call('HSETNX', key, 'z', read)
      redis.call('HSET', key, 'd', left, 'r', '{}', 'v', read + 1)
    end
  elseif what == 'line' then
    local score = redis.call('ZSCORE', key, read)
    known = score and read ~= left
    if known then
      redis.call('ZADD', key, score, left)
      redis.call('ZREM', key, read)
    end
  elseif what == 'key' then
    known = redis.call('GET', key) == read
    if known then redis.call('DEL', key) end
  else
    known = redis.call('HGET', key, what) == read
    if known then redis.call('HSET', key, what, left) end
  end
  if known then erased = erased + 1 end
end
return erased
