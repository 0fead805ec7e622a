-- Says that the work on a job failed while its worker lived: no other job can be to blame.
-- KEYS: 1 its record
-- ARGV: 1 version, 2 how many claims of the job alone that counts as
if guarded('HGET', KEYS[1], 'v') == ARGV[1] then guarded('HINCRBY', KEYS[1], 'a', ARGV[2]) end
return 0
