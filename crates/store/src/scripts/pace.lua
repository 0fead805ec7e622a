-- Adds to what is known of how long a vendor's tasks take, and whether its callbacks come.
-- KEYS: 1 the vendor's pace
-- ARGV: how long it is kept in ms, then field, by, field, by, …: `kind.step` how many tasks of a kind took so long;
--   `came` and `missed` callbacks
-- What is old counts less: counts are halved when there are many.
for i = 2, #ARGV, 2 do guarded('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
local sums, found = {}, guarded('HGETALL', KEYS[1])
for i = 1, #found, 2 do
  local kind = string.match(found[i], '^(%d+)%.') or 'callbacks'
  -- What is no number begins anew when it is next added to.
  found[i + 1] = number_of(found[i + 1]) or 0
  sums[kind] = (sums[kind] or 0) + found[i + 1]
end
for i = 1, #found, 2 do
  local kind = string.match(found[i], '^(%d+)%.') or 'callbacks'
  if sums[kind] > (kind == 'callbacks' and 60 or 1000) then
    local half = math.floor(found[i + 1] / 2)
    if half > 0 then guarded('HSET', KEYS[1], found[i], string.format('%.0f', half)) else guarded('HDEL', KEYS[1], found[i]) end
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
