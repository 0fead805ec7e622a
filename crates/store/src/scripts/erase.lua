-- Puts what is left of things in their place, if each is still what was read.
-- KEYS: 1 tenant's hash, 2 events, then the things
-- ARGV: 1 limits of the tenant's account, then for each thing: what it is, what was read, what is left
--   'job': its version, its record; 'line': a member of a sorted set; 'key': the job of a content, nothing;
--   else the name of a hash's field
-- Returns how many were
local account, erased = account_of(KEYS[1], KEYS[2], ARGV[1]), 0

-- So much of a key is gone, whenever it expires.
local function lighter(kind, bytes, key)
  local moment = account:moment_of(kind, key)
  if moment then account:drop(kind, bytes, moment) else account:add(kind, -bytes) end
end

for n = 3, #KEYS do
  local key, what, read, left = KEYS[n], ARGV[3 * n - 7], ARGV[3 * n - 6], ARGV[3 * n - 5]
  local known = false
  if what == 'job' then
    local has = guarded('HMGET', key, 'v', 'q')
    known = has[1] == read
    if known then
      local gone = guarded('HSTRLEN', key, 'd') + guarded('HSTRLEN', key, 'r') - #left - 2
      if has[2] then lighter('jobs', gone, key) end
      -- The list of ended jobs knows it by this version.
      guarded('HSETNX', key, 'z', read)
      guarded('HSET', key, 'd', left, 'r', '{}', 'v', read + 1)
    end
  elseif what == 'line' then
    local score = redis.call('ZSCORE', key, read)
    known = score and read ~= left
    if known then
      local again = redis.call('ZADD', key, score, left) == 0
      redis.call('ZREM', key, read)
      charge_batch(account, (string.gsub(key, '}:r:', '}:b:', 1)), 'rejected', (again and -ROW or #left) - #read)
    end
  elseif what == 'key' then
    known = redis.call('GET', key) == read
    if known then
      local content = string.match(key, '([^:]*)$')
      lighter('lists', KEY + #content, key)
      redis.call('DEL', key)
    end
  else
    known = guarded('HGET', key, what) == read
    if known then
      lighter(what == 'p' and 'webhooks' or 'answers', #read - #left, key)
      guarded('HSET', key, what, left)
    end
  end
  if known then erased = erased + 1 end
end
account:close()
return erased
