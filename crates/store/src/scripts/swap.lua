-- Writes a field of a hash if it is still as it was read.
-- KEYS: 1 hash
-- ARGV: 1 field, 2 as it was read ('' when it was not there), 3 as it is to be
-- Returns whether it was written
if (guarded('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
guarded('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
