#!lua flags=allow-oom
--[[
  jobs_retry: failed jobs start over, as OmniQ's retry_failed and its batch have it; of a failed step run its run is retried.

  KEYS  anchor
  ARGV  now_ms budget form by count job_ids...
  Reply results | OK | ERR BATCH_TOO_LARGE 100 | ERR BAD_ARGS | ERR BAD_NUMBER | ERR code

  form is batch (results are flat, in order: job_id OK, or job_id ERR code), or one: OK or ERR code. Codes are those of
  OmniQ, BAD_JOB_ID, NO_JOB and NOT_FAILED, and for a job of a flow RUN_GONE, RUN_DAMAGED, RUN_SUCCEEDED, RUN_CANCELLING and STALE_JOB (its
  step run went on without it). A job whose step run failed with it does not start over: once its run has ended the run is
  retried, once a call, with only the failures that were asked for; while the run goes on the failure is remembered until
  then. The job goes either way, and who did it is noted in the history of the run. All runs together make at most `budget` (256) step runs here.
]]
--- @include "num"
--- @include "clock"
--- @include "types"
--- @include "keys"
--- @include "queue"
--- @include "batch"
--- @include "retry"
--- @include "run"
--- @include "reopen"
--- @include "settle"
--- @include "wake"
local FIRST = 5
local is_batch, budget = ARGV[3] == 'batch', num.positive(ARGV[2], 256)
local count, refusal = batch.count(ARGV[FIRST], #ARGV - FIRST, true)
if refusal then return refusal end
local now = clock.given(ARGV[1])
if not now then return {'ERR', 'BAD_NUMBER'} end
local q = queue.open(KEYS[1], now)
local base = q.base
queue.check(q)
types.check({keys.live(base), 'zset', keys.ended(base), 'zset'})
local ctx = settle.open(q, budget)
local failed_jobs, asked, wanted, named = {}, {}, {}, {}

-- Whether the failure of a step run may be asked for: a code, or nil. Nothing is changed yet.
local function refused(f, r)
  if not r or r.purging then return 'RUN_GONE' end
  if r.damage then return 'RUN_DAMAGED' end
  if r.state == 'succeeded' then return 'RUN_SUCCEEDED' end
  if r.state == 'cancelling' then return 'RUN_CANCELLING' end
  local fact = run.fact(r, f.id)
  if not fact or string.match(fact, '^F(%d+)') ~= f.epoch then return 'STALE_JOB' end
end

local function plan_ours(id, f)
  local state = redis.call('HGET', keys.job(base, id), 'state')
  if redis.call('EXISTS', keys.job(base, id)) == 0 then return 'NO_JOB' end
  if state ~= 'failed' or asked[id] then return 'NOT_FAILED' end
  -- Failed by somebody else, and its run does not know it yet: it just starts over.
  local r = run.load(ctx, f.rid)
  if r and r.state ~= 'cancelling' and settle.awaited(ctx, f) then return retry.plan(q, id) end
  local code = refused(f, r)
  if code then return code end
  asked[id] = true
  run.ask(r, f.id, f.epoch)
  if run.is_over(r) then wanted[f.rid] = r end
  named[f.rid] = named[f.rid] or {}
  table.insert(named[f.rid], f.id)
  failed_jobs[#failed_jobs + 1] = id
end

local function plan(id)
  if is_batch and id == '' then return 'BAD_JOB_ID' end
  local f = keys.parse(id)
  return f and plan_ours(id, f) or not f and retry.plan(q, id) or 'OK'
end

local codes = {}
for i = 1, count do codes[i] = plan(ARGV[FIRST + i]) end
for _, rid in ipairs(ctx.order) do
  if named[rid] then run.note(ctx.runs[rid], 'job_retry', ARGV[4], '', named[rid]) end
  if wanted[rid] then reopen.begin(ctx, wanted[rid], {}, true, 'jobs') end
end
settle.conclude(ctx, budget)

settle.check(ctx)
retry.unlist(q)
for _, id in ipairs(failed_jobs) do
  if redis.call('LREM', base .. ':failed', 0, id) > 0 then queue.count(q, 'failed', -1) end
  queue.index(q, 'failed', id)
  q.dead[#q.dead + 1] = keys.job(base, id)
end
settle.commit(ctx)
queue.flush(q)
wake.notify(base, now, q.offered)
if is_batch then return batch.results(ARGV, FIRST, codes) end
return codes[1] == 'OK' and {'OK'} or {'ERR', codes[1]}
