--[[
  In which order jobs are taken: groups and plain jobs take turns, and each lease has a number (wire §6, §7).
]]
--- @include "types"
local order = {}

-- The turn as it is stored, and the number of the latest lease.
function order.read(base)
  local turn, seq = base .. ':lane:rr', base .. ':lease:seq'
  local have = redis.call('MGET', turn, seq)
  -- MGET shows a key of another type as absent.
  if not (have[1] and have[2]) then types.check({turn, 'string', seq, 'string'}) end
  if not string.match(have[2] or '0', '^%d+$') then error({err = 'WRONGTYPE ' .. seq .. ' is no number; nothing was changed'}) end
  return have[1], tonumber(have[2] or '0')
end

return order
