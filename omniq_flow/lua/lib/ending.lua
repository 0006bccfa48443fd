--[[
  A run that is over leaves only facts; its group goes once nobody stands in it (H12).
]]
--- @include "num"
--- @include "keys"
local ending = {}

-- When a run that is kept for ever is to be purged.
ending.NEVER = 9000000000000000

-- r: rid, keys, state, damage, retention and gid. It is due at once if somebody asked for a failure of it to be worked again
-- while it went on.
function ending.write(q, r)
  if r.state == 'failed' and not r.damage and redis.call('EXISTS', r.keys.asked) == 1 then
    redis.call('ZADD', keys.live(q.base), q.now, r.rid)
    redis.call('UNLINK', r.keys.only, r.keys.gates)
  else
    redis.call('ZREM', keys.live(q.base), r.rid)
    redis.call('UNLINK', r.keys.asked, r.keys.only, r.keys.gates)
  end
  redis.call('ZADD', keys.ended(q.base), r.retention > 0 and q.now + r.retention or ending.NEVER, r.rid)
  if r.gid == r.rid then
    local g = q.groups[r.gid]
    local inflight = g and g.inflight or num.read(redis.call('GET', q.base .. ':g:' .. r.gid .. ':inflight'))
    if inflight == 0 and redis.call('EXISTS', q.base .. ':g:' .. r.gid .. ':wait') == 0 then
      if g then
        g.is_gone = true
      else
        redis.call('UNLINK', q.base .. ':g:' .. r.gid .. ':inflight', q.base .. ':g:' .. r.gid .. ':limit')
      end
    end
  end
end

return ending
