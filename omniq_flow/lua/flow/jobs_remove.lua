#!lua flags=allow-oom
--[[
  jobs_remove: take jobs out of a lane for good, as OmniQ's remove_job and its batch have it; a step run that waits fails.

  KEYS  anchor
  ARGV  now_ms budget form lane by count job_ids...
  Reply results | OK | ERR BATCH_TOO_LARGE 100 | ERR BAD_LANE | ERR BAD_ARGS | ERR BAD_NUMBER | ERR code

  form is batch (results are flat, in order: job_id OK, or job_id ERR code), or one: OK or ERR code. Codes are those of
  OmniQ: BAD_JOB_ID (of a batch only), NO_JOB, ACTIVE, LANE_MISMATCH, NOT_IN_LANE. A step run that still waits for a job
  that is removed fails as JobRemoved (in a run that is being cancelled it is cancelled), and its run goes on: besides each
  job's own consequences at most `budget` (256) step runs are made here. Of other jobs only the job goes. Who took away a job
  of a run that is there is noted in its history.
]]
--- @include "num"
--- @include "clock"
--- @include "types"
--- @include "keys"
--- @include "queue"
--- @include "batch"
--- @include "removal"
--- @include "run"
--- @include "settle"
local FIRST = 6
local is_batch, lane, budget = ARGV[3] == 'batch', ARGV[4], num.positive(ARGV[2], 256)
local count, refusal = batch.count(ARGV[FIRST], #ARGV - FIRST, not is_batch or removal.LANES[lane])
if refusal then return refusal end
local now = clock.given(ARGV[1])
if not now then return {'ERR', 'BAD_NUMBER'} end
local q = queue.open(KEYS[1], now)
queue.check(q)
types.check({keys.live(q.base), 'zset', keys.ended(q.base), 'zset'})
local ctx = settle.open(q, budget)
local jobs, codes, gone, planned, named = {}, {}, {}, {}, {}

-- What the removal does to the run that waits for the job.
local function plan(job)
  local f = keys.parse(job.id)
  if not f or planned[job.id] or not removal.is_listed(q, job) then return end
  planned[job.id] = true
  local r, _, other = settle.awaited(ctx, f)
  if r or other and not other.purging then
    named[f.rid] = named[f.rid] or {}
    table.insert(named[f.rid], f.id)
  end
  if not r then return end
  if r.state == 'cancelling' then
    settle.cancel_step(ctx, r, f)
  else
    settle.fail_step(ctx, r, f, '{"type":"JobRemoved","message":"its job was removed from the ' .. lane .. ' lane","step":"' .. f.id .. '","attempt":0}')
  end
end

for i = 1, count do
  local id = ARGV[FIRST + i]
  if is_batch and id == '' then
    codes[i] = 'BAD_JOB_ID'
  else
    jobs[i], codes[i] = removal.check(q, id, lane)
    if jobs[i] then plan(jobs[i]) end
  end
end
for _, rid in ipairs(ctx.order) do
  if named[rid] then run.note(ctx.runs[rid], 'job_remove', ARGV[5], 'from ' .. lane, named[rid]) end
end
settle.conclude(ctx, budget)
settle.check(ctx)

for i = 1, count do
  local job = jobs[i]
  if job and gone[job.id] then
    codes[i] = 'NO_JOB'
  elseif job then
    gone[job.id] = removal.apply(q, job)
    codes[i] = gone[job.id] and 'OK' or 'NOT_IN_LANE'
  end
end
settle.commit(ctx)
removal.finish(q)
if is_batch then return batch.results(ARGV, FIRST, codes) end
return codes[1] == 'OK' and {'OK'} or {'ERR', codes[1]}
