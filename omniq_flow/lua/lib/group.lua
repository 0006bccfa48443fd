--[[
  A group of jobs (wire §2): how many slots it has, how many are taken, how many jobs wait. A limit that is absent or not above
  zero counts as 1.
]]
--- @include "num"
--- @include "types"
local group = {}

-- Raises if one of its keys has another type.
function group.read(base, gid)
  local prefix = base .. ':g:' .. gid
  local list, inflight, limit = prefix .. ':wait', prefix .. ':inflight', prefix .. ':limit'
  local have = redis.call('MGET', inflight, limit)
  -- MGET shows a key of another type as absent, and SET would replace it.
  if not have[1] then types.check({inflight, 'string'}) end
  if not have[2] then types.check({limit, 'string'}) end
  return {
    gid = gid, prefix = prefix, list = list, waiting = types.read('list', 'LLEN', list), inflight = math.max(num.read(have[1]), 0),
    limit = num.positive(have[2], 1), has_limit = have[2] and true,
  }
end

return group
