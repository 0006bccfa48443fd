--[[
  What time does, a bounded piece a call: jobs that are due wait again, leases that lapsed end, and runs that are to be
  looked after go on.
]]
--- @include "keys"
--- @include "types"
--- @include "settle"
--- @include "run"
--- @include "reopen"
local upkeep = {}

local JOBS, RUNS = 100, 8

local function past(ctx, key, most)
  return types.read('zset', 'ZRANGEBYSCORE', key, '-inf', ctx.q.now, 'LIMIT', 0, most)
end

-- Gives the runs that were due and go on. What is no run that goes on is added to `orphans`.
function upkeep.all(ctx, orphans)
  local due = {}
  for _, id in ipairs(past(ctx, ctx.base .. ':delayed', JOBS)) do settle.due(ctx, id) end
  for _, id in ipairs(past(ctx, ctx.base .. ':active', JOBS)) do settle.lapsed(ctx, id) end
  for _, rid in ipairs(past(ctx, keys.live(ctx.base), RUNS)) do
    local r = run.load(ctx, rid)
    if r and not run.is_over(r) then
      -- What is queued has a state: without one nobody would ever hear that it ended.
      if r.open > 0 and redis.call('EXISTS', r.keys.states) == 0 then error({err = 'DAMAGED run ' .. rid .. ': its states are gone'}) end
      r.was_due = true
      due[#due + 1] = r
    elseif r and reopen.is_due(r) then
      reopen.begin(ctx, r, {}, true, 'asked')
    else
      orphans[#orphans + 1] = rid
    end
  end
  return due
end

return upkeep
