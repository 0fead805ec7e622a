-- What a submission is expected to cost, in millionths: what `Terms::expected` computes, operation by operation.
-- terms: what the vendor charges (l lyrics, s song, d second, w second of work, r such seconds that are reserved); none
--   where nobody knows
-- by: what it is priced by: `l` for lyrics, else seconds and songs (30x4); nothing for one song of no length
local MOST_MICROS = 1e12

-- The terms that a text says; nothing where one of them is no price.
local function terms_in(text)
  local is_read, terms = pcall(cjson.decode, text)
  if not is_read or type(terms) ~= 'table' or not string.find(text, '^%s*{') then return nil end
  for _, name in ipairs({ 'l', 's', 'd', 'w', 'r' }) do
    local price = terms[name]
    if price ~= nil and (type(price) ~= 'number' or not (price >= 0 and price <= MOST_MICROS)) then return nil end
  end
  return terms
end

local function price_of(terms, by)
  if not terms then return 0 end
  local amount
  if by == 'l' then
    amount = terms.l or 0
  else
    local seconds, songs = string.match(by or '', '^(%d+)x(%d+)$')
    seconds, songs = math.min(tonumber(seconds or 0), 2 ^ 32), math.min(tonumber(songs or 1), 2 ^ 32)
    local length = seconds == 0 and 60 or seconds
    local work = (terms.w or 0) * math.max(terms.r or 60, 1) * (math.max(seconds, 60) / 60) * songs
    amount = songs * ((terms.s or 0) + (terms.d or 0) * length) + work
  end
  return math.min(math.floor(amount * 1e6 + 0.5), MOST_MICROS)
end
