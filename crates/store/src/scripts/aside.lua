-- Sets jobs aside that were claimed and cannot be read, if nobody has changed or claimed them since.
-- KEYS: 1 queue where they stand, then their records
-- ARGV: for each job: id, version
for i = 2, #KEYS do
  if guarded('HGET', KEYS[i], 'v') == ARGV[2 * i - 2] then
    redis.call('ZREM', KEYS[1], ARGV[2 * i - 3])
    set_aside(KEYS[i])
  end
end
return 0
