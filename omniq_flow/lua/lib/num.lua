--[[
  Numbers as the wire contract reads and writes them (§1): reading is lenient, writing is plain digits.
]]
local num = {}
local floor, format = math.floor, string.format

-- The largest whole number that a score, a double and every client read alike.
local MAX = 9007199254740991

-- Absent, empty or no number counts as 0; fractions are rounded down.
function num.read(value)
  local n = tonumber(value)
  if not n or not (n >= -MAX and n <= MAX) then return 0 end
  return n - n % 1
end

-- From here on (15 digits) other clients write exponents, which none of them can read.
local TOO_LARGE = 1e14

-- A number that a caller gives: absent or empty means the default, nil stands for one that cannot be kept (D7).
function num.given(value, default)
  if not value or value == '' then return default end
  local n = tonumber(value)
  if not n or n ~= n or n >= TOO_LARGE or n <= -TOO_LARGE then return nil end
  return floor(n)
end

-- Never an exponent, never `.0` (D7). A call writes few different numbers many times: its clock, its settings.
local written = {}

function num.text(n)
  local text = written[n]
  if not text then
    -- Up to here Lua's own text of a whole number has neither, and is made sooner.
    text = n % 1 == 0 and n < TOO_LARGE and n > -TOO_LARGE and n + 0 .. '' or format('%.0f', n)
    written[n] = text
  end
  return text
end

-- A limit, a timeout or a number of attempts: only values above zero count.
function num.positive(value, default)
  local n = num.read(value)
  return n > 0 and n or default
end

return num
