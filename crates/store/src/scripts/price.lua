-- What a submission is expected to cost, in millionths: what `Terms::expected` computes, operation by operation.
-- terms: what the vendor charges (l lyrics, s song, d second, w second of work, r such seconds that are reserved); none
--   where nobody knows
-- by: what it is priced by: `l` for lyrics, else seconds and songs (30x4); nothing for one song of no length
local MOST_MICROS = 1e12
local function price_of(terms, by)
  if not terms then return 0 end
  local amount
  if by == 'l' then
    amount = terms.l or 0
  else
    local seconds, songs = string.match(by or '', '^(%d+)x(%d+)$')
    seconds, songs = tonumber(seconds or 0), tonumber(songs or 1)
    local length = seconds == 0 and 60 or seconds
    local work = (terms.w or 0) * math.max(terms.r or 60, 1) * (math.max(seconds, 60) / 60) * songs
    amount = songs * ((terms.s or 0) + (terms.d or 0) * length) + work
  end
  return math.min(math.floor(amount * 1e6 + 0.5), MOST_MICROS)
end
