--[[
  The statistics of a queue (wire §4), added up and written once a call.

  A decrement never leaves a counter below zero. `low` remembers how deep a sequence of changes went, so that
  writing the sum at the end gives what writing each change in turn would have given.
]]
--- @include "num"
local stats = {}

function stats.new(key)
  return {key = key, sum = {}, low = {}, set = {}}
end

function stats.add(s, field, delta)
  local sums = s.sum
  local sum = (sums[field] or 0) + delta
  sums[field] = sum
  if sum < 0 and sum < (s.low[field] or 0) then s.low[field] = sum end
end

-- A value that replaces what is there: a time, a length.
function stats.put(s, field, value)
  s.set[field] = value
end

local function apply(key, field, sum, low)
  local after = redis.pcall('HINCRBY', key, field, num.text(sum))
  if type(after) == 'table' then
    redis.call('HSET', key, field, num.text(math.max(sum, 0)))
  elseif after - sum + low < 0 then
    redis.call('HINCRBY', key, field, num.text(sum - low - after))
  end
end

function stats.flush(s)
  for field, sum in pairs(s.sum) do apply(s.key, field, sum, s.low[field] or 0) end
  local args = {}
  for field, value in pairs(s.set) do
    args[#args + 1] = field
    args[#args + 1] = num.text(value)
  end
  if #args > 0 then redis.call('HSET', s.key, unpack(args)) end
end

return stats
