-- Turns what is to be told into notices, once: whoever takes it out of the outbox writes them.
-- KEYS: 1 outbox, 2 notify, 3 notifying
-- ARGV: 1 prefix of notices, 2 prefix of waiting notices, 3 prefix of histories, 4 most notices of a history, 5 how long a notice may
--   wait in ms, then for
--   each thing: its place in the outbox ('' for what never was there), number of notices, and for each of them: id,
--   tenant, endpoint, notice, payload
-- Returns how many notices were written
local written, arg = 0, 6
while arg <= #ARGV do
  local ours = ARGV[arg] == '' or redis.call('XDEL', KEYS[1], ARGV[arg]) == 1
  local count = tonumber(ARGV[arg + 1])
  arg = arg + 2
  for _ = 1, count do
    if ours then
      local id, tenant, whose = ARGV[arg], ARGV[arg + 1], ARGV[arg + 1] .. '/' .. ARGV[arg + 2]
      local notice, waiting, history = ARGV[1] .. id, ARGV[2] .. whose, ARGV[3] .. tenant
      local again = redis.call('EXISTS', notice) == 1
      redis.call('HSET', notice, 'd', ARGV[arg + 3], 'p', ARGV[arg + 4], 'e', whose)
      redis.call('PEXPIRE', notice, ARGV[5])
      redis.call('ZADD', waiting, now, id)
      redis.call('PEXPIRE', waiting, ARGV[5])
      if not redis.call('ZSCORE', KEYS[3], whose) then put(KEYS[2], whose, now) end
      if not again then redis.call('LPUSH', history, id) end
      if redis.call('LLEN', history) > tonumber(ARGV[4]) then
        local oldest = redis.call('RPOP', history)
        local of = redis.call('HGET', ARGV[1] .. oldest, 'e')
        if of and not redis.call('ZSCORE', ARGV[2] .. of, oldest) then redis.call('UNLINK', ARGV[1] .. oldest) end
      end
      written = written + 1
    end
    arg = arg + 5
  end
end
if written > 0 then wake(KEYS[1]) end
return written
