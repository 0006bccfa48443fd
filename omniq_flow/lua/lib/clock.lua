--[[
  Time: a caller's clock where one is given, else the server's (D1).
]]
--- @include "num"
local clock = {}

function clock.now(given)
  local n = num.read(given)
  if n > 0 then return n end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- The same for a caller who may be anybody; nil if what is given cannot be a time (D7).
function clock.given(value)
  local n = num.given(value, 0)
  return n and clock.now(n)
end

return clock
