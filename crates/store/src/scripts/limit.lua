-- A vendor's limits, as the whole fleet sees them: one hash.
--   buckets, prefix c (submissions) or r (everything else): `t` when the next request may be made if none is saved up,
--     in ms; `r` requests a minute learned from refusals, as of `c` (once its pause is over), `b` of which limit (0: the vendor named it; it grows
--     from there by a tenth each time), `g` to which rate it returns and since when that is so, `e`; `p` until when the
--     vendor wants none; `n` requests in the minute begun at `w`, `f` of them refused, and `o` and `l` in the one before
--   gate: `shut` until when no submission is made (0: until an operator opens it), `by` what shut it (locked, failing,
--     hand; or trial: it opens then, unless the submission fails after all that was let through), `code`, `words`, `since`, `trips` how often in a row; `probe` until when one submission is under way that
--     tells whether it may open; `fails` failures in a row while it is open, `fw` of which tenant, `fo` whether of others,
--     too; `sj`, `sw`, `sa`, `sk` a suspicion: job, tenant, when, whether it is about tasks; `only` whose failures alone shut
--     it: others are let through to find out at any time; `alone` whether nobody else had submitted lately
--   `tw` the tenant that submitted last at `ta`, `tb` when another one did
local FIELDS = { 't', 'r', 'c', 'b', 'p', 'n', 'w', 'o', 'g', 'e', 'f', 'l' }
-- Between two requests more than the limit asks for: their way to the vendor is not always equally long.
local MARGIN = 1.02
-- Where no limit is set and the vendor refuses, this counts as the limit, if fewer were made in the last minute.
local USUAL = 600
-- For so long (ms) after the last refusal a rate returns to nearly what it was before the first one, by the same factor in
-- each second. Then it grows every so often (ms) by this share of the limit, or doubles where no limit is set.
local RETURNS_IN, RETURNS_TO, GROWS_EVERY, GROWS_BY = 25000, 0.9, 10000, 0.05
-- Where refusals go on for longer (ms) than that, the limit itself is lower now.
local LASTING = 300000
-- Fewer refusals than this share of at least so many requests in a minute are chance, and teach nothing.
local STRAY, STRAY_OF = 0.05, 20
-- What a refusal leaves of the rate, at most once in so many ms: requests under way together are refused together. And
-- the share of the limit below which only a number that the vendor names leads.
local LEAVES, TOGETHER, LEAST = 0.7, 2000, 0.1

-- Reads a bucket out of the values that HMGET gave for `fields_of` it.
local function fields_of(prefix)
  local fields = {}
  for i, field in ipairs(FIELDS) do fields[i] = prefix .. field end
  return fields
end

local function bucket_of(values, from)
  local bucket = {}
  for i, field in ipairs(FIELDS) do bucket[field] = number_of(values[from + i - 1]) end
  -- What was learned means something only as a whole.
  if not (bucket.c and bucket.b) or bucket.g and not bucket.e then
    bucket.r, bucket.c, bucket.b, bucket.g, bucket.e = nil, nil, nil, nil, nil
  end
  return bucket
end

-- Writes a bucket back.
local function keep(limits, prefix, bucket)
  local list = {}
  for field, value in pairs(bucket) do
    list[#list + 1], list[#list + 2] = prefix .. field, string.format('%.17g', value)
  end
  if #list > 0 then guarded('HSET', limits, unpack(list)) end
end

-- How many requests a minute are allowed now, 0 for any number. most: the setting, 0 for none
local function rate_now(now, bucket, most)
  local learned = bucket.r
  if not learned then return most end
  local rate
  if bucket.b == 0 then
    local times = math.min(math.floor((now - bucket.c) / GROWS_EVERY), 1000)
    rate = learned * (1 + 2 * GROWS_BY) ^ times
  else
    local past, full = math.max(0, now - bucket.c), bucket.g or learned
    if past < RETURNS_IN then
      rate = learned * (full / learned) ^ (past / RETURNS_IN)
    elseif most > 0 then
      rate = full + math.floor((past - RETURNS_IN) / GROWS_EVERY) * GROWS_BY * most
    else
      rate = full * 2 ^ math.min((past - RETURNS_IN) / GROWS_EVERY, 20)
    end
  end
  return most > 0 and math.min(rate, most) or rate
end

-- The interval (ms) and burst with which no minute sees more than `rate` requests.
local function pace(rate, burst)
  -- With two at once nothing is lost by coming a little later than possible.
  if burst < 1 then burst = math.max(rate >= 40 and 2 or 1, math.floor(rate / 100)) end
  burst = math.max(1, math.min(burst, math.floor(rate)))
  return 60000 * MARGIN / (rate - burst + 1), burst
end

-- How many of `wanted` requests may be made now, and when the next one may be if these are not all.
local function may(now, wanted, bucket, most, burst)
  if (bucket.p or 0) > now then return 0, bucket.p end
  local rate = rate_now(now, bucket, most)
  if rate == 0 then return wanted, now end
  local interval
  interval, burst = pace(rate, burst)
  local next_at = math.max(bucket.t or 0, now)
  local allowed = math.floor((now + burst * interval - next_at) / interval + 1e-4)
  allowed = math.max(0, math.min(wanted, allowed))
  return allowed, math.max(now + 1, math.ceil(next_at + (allowed + 1 - burst) * interval))
end

-- Writes down that so many requests are made now.
local function spend(now, made, bucket, most, burst)
  local rate = rate_now(now, bucket, most)
  if rate > 0 then bucket.t = math.max(bucket.t or 0, now) + made * pace(rate, burst) end
  if now - (bucket.w or 0) >= 60000 then
    local was_just_before = now - (bucket.w or 0) < 120000
    bucket.o, bucket.l = was_just_before and bucket.n or 0, was_just_before and bucket.f or 0
    bucket.n, bucket.f, bucket.w = 0, 0, now
  end
  bucket.n = (bucket.n or 0) + made
end

-- What a refusal teaches: less from now on, and nothing for as long as was asked.
-- told: requests a minute that the vendor named, 0 if none; wait: ms that it named, 0 if none
local function learn(now, bucket, most, told, wait)
  local rate = rate_now(now, bucket, most)
  bucket.f = (bucket.f or 0) + 1
  if told > 0 then
    bucket.r, bucket.c, bucket.b, bucket.g = told, now, 0, told
  elseif bucket.b == 0 then
    if now - bucket.c > TOGETHER then bucket.r, bucket.c = math.max(LEAVES * rate, 1), now end
  elseif now < (bucket.c or 0) then
    -- It was sent before the last refusal was known.
    bucket.c = math.max(bucket.c, now + wait)
  else
    local age = now - (bucket.w or now)
    local left = math.max(0, 1 - age / 60000)
    local made, refused = (bucket.n or 0) + (bucket.o or 0) * left, bucket.f + (bucket.l or 0) * left
    if made < STRAY_OF or refused >= STRAY * made then
      -- Where no limit was known there is one now: about what was done last.
      local lately = math.max(made, (bucket.n or 0) * 60000 / math.max(age, 5000))
      local base = most > 0 and most or bucket.b or math.max(lately, USUAL)
      local current = rate > 0 and rate or base
      -- What doubled meanwhile without being used says nothing.
      if most == 0 then current = math.min(current, math.max(lately, USUAL)) end
      -- What is not back in full is refused once more, not anew: else bursts would take away a tenth each.
      local returning = bucket.g and RETURNS_TO * current < bucket.g
      if not returning or now - bucket.e > LASTING then
        bucket.g, bucket.e = math.max(RETURNS_TO * current, LEAST * base, 1), now
      end
      if wait == 0 then wait = TOGETHER end
      -- While the vendor wants none, nothing shows that there may be more; and what is refused until then was sent before.
      bucket.r, bucket.c, bucket.b =
        math.max(LEAVES * current, LEAST * base, 1), now + math.max(wait, TOGETHER), base
    end
  end
  if wait > 0 then bucket.p = math.max(bucket.p or 0, now + wait) end
  -- What was saved up is gone: after the pause one request finds out, and others follow at the rate.
  local pause_end = bucket.p or 0
  local then_rate = rate_now(pause_end, bucket, most)
  if pause_end > now and then_rate > 0 then
    local interval, burst = pace(then_rate, 0)
    bucket.t = math.max(bucket.t or 0, pause_end + (burst - 1) * interval)
  end
end

-- Opens the gate.
local function open_gate(limits)
  guarded('HDEL', limits, 'shut', 'by', 'code', 'words', 'since', 'trips', 'probe', 'fails', 'fw', 'fo', 'sj', 'sw',
    'sa', 'sk', 'only', 'alone')
end

-- For so long (ms) a suspicion can be confirmed, and a tenant counts as one that submits.
local LATELY = 600000
