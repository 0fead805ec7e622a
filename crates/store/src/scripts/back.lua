-- Puts a job that was set aside back where its record says, if it is still what was read. Where it stands there already,
-- in a lane or until a lease ends, it stays: being due twice it would be claimed twice.
-- KEYS: 1 what was set aside, 2 the job's record, 3 its queue (the record where it belongs into none)
-- ARGV: 1 id, 2 version, 3 its lane where it waits to be submitted, else ''
-- Returns 1 when it was put back.
if guarded('HGET', KEYS[2], 'v') ~= ARGV[2] or redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return 0 end
if KEYS[3] == KEYS[2] then return 0 end
if ARGV[3] ~= '' and redis.call('ZSCORE', lane_of(KEYS[3], ARGV[3]), ARGV[1]) then return 0 end
-- Whoever is due now is claimed next, or goes into its lane.
return redis.call('ZADD', KEYS[3], 'NX', now, ARGV[1])
