-- A sign of life of a process, and an end of those that have given none.
-- KEYS: processes by id, when each was seen. ARGV: id, record, now, how long one is kept in ms
guarded('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
local gone = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[3] - ARGV[4], 'LIMIT', 0, 100)
if #gone > 0 then
  guarded('HDEL', KEYS[1], unpack(gone))
  redis.call('ZREM', KEYS[2], unpack(gone))
end
redis.call('PEXPIRE', KEYS[1], 2 * ARGV[4])
redis.call('PEXPIRE', KEYS[2], 2 * ARGV[4])
