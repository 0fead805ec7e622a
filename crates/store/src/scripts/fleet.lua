-- Prices and budgets of the fleet: one hash, which every claim reads.
--   `seeded` when it was filled from the settings; `currency`; `day`, `tenant_day`, `batch` in millionths (0: no
--   limit); for each vendor `t:<vendor>` what it charges, in that currency, and `i:<vendor>` the price as it was set: by
--   whom, when, or the estimate
-- KEYS: 1 the hash, 2 audit log
-- ARGV: 1 'seed', then currency, day, tenant_day, batch, and for each vendor: name, terms, info, date of the estimate ('' for
--     the settings' own): fills the hash once; after that only estimates that are newer take the place of others
--   1 'set', entry of the audit log, then fields and values ('' removes): also of a tenant or a batch with a budget of its own
-- Returns 1 when something was written.
local fleet = KEYS[1]
if ARGV[1] == 'set' then
  for i = 3, #ARGV, 2 do
    if ARGV[i + 1] == '' then guarded('HDEL', fleet, ARGV[i]) else guarded('HSET', fleet, ARGV[i], ARGV[i + 1]) end
  end
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', 10000, '*', 'e', ARGV[2])
  return 1
end

-- What was set before the record was filled stays.
local first = guarded('HSETNX', fleet, 'seeded', now) == 1
local written = first and 1 or 0
if first then
  for i, field in ipairs({ 'currency', 'day', 'tenant_day', 'batch' }) do
    guarded('HSETNX', fleet, field, ARGV[i + 1])
  end
end
for i = 6, #ARGV, 4 do
  local known = guarded('HGET', fleet, 'i:' .. ARGV[i])
  local is_read, entry = pcall(cjson.decode, known or '{}')
  local estimate = is_read and type(entry) == 'table' and entry.estimate
  local is_older = type(estimate) == 'table' and type(estimate.date) == 'string' and estimate.date < ARGV[i + 3]
  if is_older or (not known and (first or ARGV[i + 3] ~= '')) then
    guarded('HSET', fleet, 't:' .. ARGV[i], ARGV[i + 1], 'i:' .. ARGV[i], ARGV[i + 2])
    written = 1
  end
end
return written
