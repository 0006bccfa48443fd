#!lua flags=allow-oom
--[[
  ack_success: a leased job is done. The newest hundred completed jobs are kept.

  KEYS  anchor
  ARGV  job_id now_ms token
  Reply OK | ERR TOKEN_REQUIRED | ERR TOKEN_MISMATCH | ERR NOT_ACTIVE | ERR BAD_NUMBER

  An older job is dropped only if it is still completed (D5). A lease past its deadline that nobody reaped counts.
]]
--- @include "clock"
--- @include "queue"
--- @include "lease"
--- @include "commit"
local now = clock.given(ARGV[2])
if not now then return {'ERR', 'BAD_NUMBER'} end
local q = queue.open(KEYS[1], now)
local job, refusal = lease.check(q, ARGV[1], ARGV[3])
if not job then return {'ERR', refusal} end
queue.leave_active(q, job.id, job.gid)
queue.stamp(q, 'last_finish_ms')
queue.complete(q, job.id)
commit.all(q)
return {'OK'}
