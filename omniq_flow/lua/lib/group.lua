--[[
  A group of jobs (wire §2): how many slots it has, how many are taken, how many jobs wait. A limit that is absent or not above
  zero counts as 1.
]]
--- @include "num"
--- @include "types"
local group = {}

-- Its slots. Raises if one of the keys has another type.
function group.slots(base, gid)
  local prefix = base .. ':g:' .. gid
  local inflight, limit = prefix .. ':inflight', prefix .. ':limit'
  local have = redis.call('MGET', inflight, limit)
  -- MGET shows a key of another type as absent, and SET would replace it.
  if not have[1] then types.check({inflight, 'string'}) end
  if not have[2] then types.check({limit, 'string'}) end
  return {
    gid = gid, prefix = prefix, list = prefix .. ':wait', inflight = math.max(num.read(have[1]), 0), limit = num.positive(have[2], 1),
    has_limit = have[2] and true,
  }
end

-- The same, and how many jobs wait; read once a call. holder: base, and groups by gid.
function group.of(holder, gid)
  local g = holder.groups[gid]
  if not g then
    g = group.slots(holder.base, gid)
    g.waiting = types.read('list', 'LLEN', g.list)
    holder.groups[gid] = g
  end
  return g
end

return group
