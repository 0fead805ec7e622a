-- Lengthens leases that are still held; a lease of 0 gives the job back: it is due now, and the claim not counted.
-- KEYS: for each job: its record, the queue it waits in
-- ARGV: 1 lease in ms, then for each job: id, version, 'alone' when the claim counts as one of the job alone
-- Returns for each job: 1 lengthened, 0 lost
local lease = tonumber(ARGV[1])
local results = {}
for i = 1, #KEYS / 2 do
  local job, id, version = KEYS[2 * i - 1], ARGV[3 * i - 1], ARGV[3 * i]
  local held = guarded('HGET', job, 'v') == version
  if held then
    redis.call('ZADD', KEYS[2 * i], 'XX', now + lease, id)
    if lease == 0 then
      guarded('HSET', job, 'v', version + 1)
      -- A look-up's first claim counted the submission that was lost: its next one will.
      local claims = guarded('HINCRBY', job, 'c', -1)
      if claims == 1 and guarded('HEXISTS', job, 'x') == 1 then guarded('HINCRBY', job, 'k', -1) end
      if ARGV[3 * i + 1] == 'alone' then guarded('HINCRBY', job, 'a', -1) end
    end
  end
  results[i] = held and 1 or 0
end
return results
