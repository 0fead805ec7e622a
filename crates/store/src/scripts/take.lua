-- Takes requests that are no submissions out of a vendor's allowance.
-- KEYS: 1 the vendor's limits
-- ARGV: 1 how many are wanted, 2 most a minute (0: any number), 3 how many of them at once (0: a hundredth), 4 how many
--   were made without asking
-- Returns how many may be made now, in how many ms to ask for the rest, and 1 when there is no limit to ask for.
local wanted, most, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local bucket = bucket_of(guarded('HMGET', KEYS[1], unpack(fields_of('r'))), 1)
local allowed, at = may(now, wanted, bucket, most, burst)
spend(now, allowed + tonumber(ARGV[4]), bucket, most, burst)
keep(KEYS[1], 'r', bucket)
local free = rate_now(now, bucket, most) == 0 and (bucket.p or 0) <= now
return { allowed, math.max(0, math.ceil(at - now)), free and 1 or 0 }
