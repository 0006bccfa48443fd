--[[
  What becomes of a job of a step run that was popped: it is begun, put off, or of no use any more. It is popped by now, so
  nothing here may stop the call half-way: what cannot be read is looked at again later.
]]
--- @include "run"
--- @include "inputs"
--- @include "settle"
--- @include "reopen"
local handover = {}

-- The group of a run of its own that is paused. What waits in it stays there.
function handover.is_held(ctx, gid)
  if #gid ~= 26 then return false end
  local is_good, r = pcall(run.load, ctx, gid)
  return is_good and r and r.gid == gid and run.is_paused(r)
end

local function verdict(ctx, f)
  local r = run.load(ctx, f.rid)
  local fact = r and run.fact(r, f.id)
  if not (fact and run.is_going(r) and string.match(fact, '^Q(%d+)') == f.epoch) then return 'useless' end
  return run.is_paused(r) and 'later' or 'begin'
end

-- begin: its step run waits for this very job; later: its run is paused, or cannot be read; useless: nobody waits for it.
function handover.verdict(ctx, f)
  local is_read, said = pcall(verdict, ctx, f)
  return is_read and said or 'later'
end

-- The plan, the fact and the inputs of a step run that begins.
function handover.tell(ctx, f)
  local r = run.load(ctx, f.rid)
  return r.sha, run.fact(r, f.id), inputs.read(ctx, r, f.step, f.x)
end

-- A job of no use: true if its run is being cancelled and still waits for it, which `cancel` then ends.
function handover.put_away(ctx, f)
  local r = run.load(ctx, f.rid)
  if not r then return false end
  if r.state == 'cancelling' and string.match(run.fact(r, f.id) or '', '^Q(%d+)') == f.epoch then return true end
  reopen.adopt(ctx, r, f)
  return false
end

-- Jobs of runs that are being cancelled were taken instead of begun: their step runs are over.
function handover.cancel(q, taken)
  local late = settle.open(q, 0)
  for _, f in ipairs(taken) do
    -- What can fail comes first: after the commit above nothing may, and the sweep looks after what is left.
    local is_good, r = pcall(function()
      local found = run.load(late, f.rid)
      run.step(late, found, f.step)
      return found
    end)
    if is_good then settle.cancel_step(late, r, f) end
  end
  settle.conclude(late, 0)
  if pcall(settle.check, late) then settle.commit(late) end
end

return handover
