#!lua flags=allow-oom
--[[
  retry_failed_batch: failed jobs start over, each as in retry_failed and with a result of its own.

  KEYS  anchor
  ARGV  now_ms count job_ids...
  Reply results | ERR BATCH_TOO_LARGE 100 | ERR BAD_ARGS | ERR BAD_NUMBER

  Results are flat, in order: job_id OK, or job_id ERR code; codes are BAD_JOB_ID, NO_JOB, NOT_FAILED. Nothing for a count
  of zero or less.
]]
--- @include "clock"
--- @include "queue"
--- @include "batch"
--- @include "retry"
local count, refusal = batch.count(ARGV[2], #ARGV - 2, true)
if refusal then return refusal end
local now = clock.given(ARGV[1])
if not now then return {'ERR', 'BAD_NUMBER'} end
local q = queue.open(KEYS[1], now)
queue.check(q)
local codes = {}
for i = 1, count do
  local id = ARGV[2 + i]
  codes[i] = id == '' and 'BAD_JOB_ID' or retry.plan(q, id) or 'OK'
end
retry.commit(q)
return batch.results(ARGV, 2, codes)
