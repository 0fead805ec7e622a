-- Keeps refused lines, each once whatever the upload: the first so many.
-- KEYS: 1 refused lines
-- ARGV: 1 most, then for each line: its number, it as JSON, which begins with its upload
local function said(json) return (string.gsub(json, '^{"upload":"[^"]*",', '{', 1)) end
for arg = 2, #ARGV, 2 do
  for _, known in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[arg], ARGV[arg], 'LIMIT', 0, 20)) do
    if said(known) == said(ARGV[arg + 1]) then redis.call('ZREM', KEYS[1], known) end
  end
  redis.call('ZADD', KEYS[1], ARGV[arg], ARGV[arg + 1])
end
-- The first lines tell most: beyond so many the last ones go.
redis.call('ZREMRANGEBYRANK', KEYS[1], ARGV[1], -1)
return 1
