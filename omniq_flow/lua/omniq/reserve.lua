#!lua flags=allow-oom
--[[
  reserve: lease the next job. Groups and plain jobs take turns; an id without a job is passed over (D9).

  KEYS  anchor
  ARGV  now_ms
  Reply JOB job_id payload lock_until_ms attempt max_attempts gid token | EMPTY | PAUSED | ERR BAD_NUMBER

  Passes over at most ten full groups and ten ids without a job; a full group is left out of the ready set until a
  slot of it is free (Q19). gid is empty for a plain job.
]]
--- @include "num"
--- @include "clock"
--- @include "queue"
--- @include "take"
local now = clock.given(ARGV[1])
if not now then return {'ERR', 'BAD_NUMBER'} end
local q = queue.open(KEYS[1], now)
take.check(q)
take.check_groups(q)
local t = take.open(q, 1)
if not t then return {'PAUSED'} end
local job = take.next(q, t)
if job then take.lease(q, t, job, '') end
take.close(q, t)
queue.settle(q)
queue.flush(q)
if not job then return {'EMPTY'} end
return {'JOB', job.id, job.payload, num.text(job.until_ms), num.text(job.attempt), num.text(job.max_attempts), job.gid, job.token}
