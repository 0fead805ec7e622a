-- What a tenant makes us keep.
-- KEYS: 1 tenant's hash, 2 events
-- ARGV: 1 limits of its account
-- Returns the bytes of each kind, and of events
local account = account_of(KEYS[1], KEYS[2], ARGV[1])
account:sweep()
local sums = guarded('HMGET', account.key, unpack(KINDS))
for i = 1, #KINDS do sums[i] = tonumber(sums[i] or nil) or 0 end
sums[#KINDS + 1] = EVENT * guarded('XLEN', account.events)
return sums
