--[[
  A run that ended without success goes on (levels §5): a new epoch, nothing derived is left, and its roots are tried
  anew. What stands then is kept without running, all else is decided again.

  Failures that are asked for one by one (`asked`: step run and epoch) wait there until the run has ended, and are what
  its next life works (`only`); the failures that nobody asked for stay.
]]
--- @include "num"
--- @include "keys"
--- @include "run"
--- @include "advance"
local reopen = {}

-- Who revives one failed job revives others: they are waited for, so that the run is retried once.
local COLLECT_MS = 1000

-- Why a run can not be retried now: a code and what it is about; nil if it can. `r` as `run.load` gives it.
function reopen.refusal(r)
  if not r or r.purging then return 'GONE', '' end
  if r.damage then return 'DAMAGED', r.damage end
  if r.state ~= 'failed' and r.state ~= 'cancelled' then return 'CONFLICT', r.state end
end

-- Whether a run that ended is to go on because somebody asked for failures of it.
function reopen.is_due(r)
  return not reopen.refusal(r) and redis.call('EXISTS', r.keys.asked) == 1
end

-- A foreign client revived the job of a step run that has failed: asked for, and nothing else (levels §5, adopt).
function reopen.adopt(ctx, r, f)
  local fact = run.fact(r, f.id)
  if r.purging or r.damage or r.state == 'succeeded' or r.state == 'cancelling' or not fact or string.match(fact, '^F(%d+)') ~= f.epoch then return end
  -- Comes after the commit of a call: a key of another type must not stop what was written before.
  redis.pcall('SADD', r.keys.asked, f.id .. '.' .. f.epoch)
  if run.is_over(r) then redis.call('ZADD', keys.live(ctx.base), 'NX', ctx.q.now + COLLECT_MS, r.rid) end
end

-- Retries a run that may be retried. redo: steps that are done again though they succeeded; mark: what tells this retry
-- from another. With is_partial only the failures that were asked for are worked.
function reopen.begin(ctx, r, redo, is_partial, mark)
  local roots = redis.call('HGET', keys.plan(ctx.base, r.sha), '_roots')
  if not roots then error({err = 'NO_PLAN run ' .. r.rid .. ': plan ' .. r.sha .. ' is gone'}) end
  run.forget(ctx, r)
  run.know_nothing(r)
  run.put(r, 'retry', num.text(r.epoch) .. ' ' .. mark)
  run.put(r, 'epoch', r.epoch + 1)
  run.put(r, 'state', 'running')
  for field, value in pairs({failed = '0', stopped = '0', only = is_partial and '1' or '0', ended_ms = '', sweep = '0'}) do r.head[field] = value end
  r.since, r.failed, r.stopped, r.only, r.is_reopened, r.was_due = r.epoch, false, false, is_partial, true, true
  for _, step in ipairs(redo) do
    r.redo[step] = r.epoch
    r.head['redo:' .. step] = r.epoch
  end
  run.event(r, 'run running')
  run.event(r, 'retried ' .. num.text(r.epoch) .. (is_partial and ' only' or ' all') .. (#redo > 0 and ' redo ' .. table.concat(redo, ',') or ''))
  advance.begin(ctx, r, cjson.decode(roots))
end

return reopen
