--[[
  The check_completion counter (wire §8): `:count` children are still missing, `:done` holds those that reported.
  Distinct members count once, zero is said once, and both keys go with it. Used by the public operations on
  `{cc:key}` and by the gates and collections of runs alike.
]]
--- @include "many"
local counter = {}

function counter.init(base, expected)
  redis.call('SET', base .. ':count', expected)
  redis.call('DEL', base .. ':done')
end

-- Returns what is left after these members reported; a member that reported before changes nothing.
function counter.report(base, members)
  local added = many.call('SADD', base .. ':done', members)
  local left
  if added > 0 then
    left = redis.call('DECRBY', base .. ':count', added)
  else
    left = tonumber(redis.call('GET', base .. ':count')) or 0
  end
  if added > 0 and left <= 0 then counter.drop(base) end
  return math.max(left, 0)
end

function counter.drop(base)
  redis.call('UNLINK', base .. ':count', base .. ':done')
end

return counter
