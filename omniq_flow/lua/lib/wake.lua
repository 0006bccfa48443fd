--[[
  Waking idle workers. Each blocks on a list of its own and stands in `idle` until its time; a hint only:
  who was not woken looks again by itself, so a key of another type stops nobody. Nothing is written when nobody waits.
]]
--- @include "keys"
local wake = {}
local MOST, STAY_MS = 16, 30000

function wake.notify(base, now, n)
  for _ = 1, math.min(n, MOST) do
    local top = redis.pcall('ZPOPMAX', keys.idle(base))
    if not top[1] then return end
    if tonumber(top[2]) < now then
      redis.call('UNLINK', keys.idle(base))
      return
    end
    local list = keys.wake(base, top[1])
    redis.pcall('RPUSH', list, '1')
    redis.pcall('PEXPIRE', list, STAY_MS)
  end
end

return wake
