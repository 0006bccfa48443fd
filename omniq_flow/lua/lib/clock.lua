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

return clock
