#!lua flags=allow-oom
--[[
  remove_jobs_batch: take jobs out of one lane, each as in remove_job and with a result of its own.

  KEYS  anchor
  ARGV  lane count job_ids... now_ms
  Reply results | ERR BATCH_TOO_LARGE 100 | ERR BAD_LANE | ERR BAD_ARGS | ERR BAD_NUMBER

  Results are flat, in order: job_id OK, or job_id ERR code; codes are BAD_JOB_ID and those of remove_job. Clients of OmniQ
  send no now_ms: it is the server's time then (D8). Nothing for a count of zero or less.
]]
--- @include "clock"
--- @include "queue"
--- @include "batch"
--- @include "removal"
local lane = ARGV[1]
local count, refusal = batch.count(ARGV[2], #ARGV - 2, removal.LANES[lane or ''])
if refusal then return refusal end
local now = clock.given(ARGV[3 + count])
if not now then return {'ERR', 'BAD_NUMBER'} end
local q = queue.open(KEYS[1], now)
queue.check(q)
local jobs, codes, gone = {}, {}, {}
for i = 1, count do
  local id = ARGV[2 + i]
  if id == '' then
    codes[i] = 'BAD_JOB_ID'
  else
    jobs[i], codes[i] = removal.check(q, id, lane)
  end
end
for i = 1, count do
  local job = jobs[i]
  if job and gone[job.id] then
    codes[i] = 'NO_JOB'
  elseif job then
    gone[job.id] = removal.apply(q, job)
    codes[i] = gone[job.id] and 'OK' or 'NOT_IN_LANE'
  end
end
removal.commit(q)
return batch.results(ARGV, 2, codes)
