#!lua flags=allow-oom
--[[
  heartbeat: extend a lease to now plus its job's lease time (D3).

  KEYS  anchor
  ARGV  job_id now_ms token
  Reply OK lock_until_ms | ERR TOKEN_REQUIRED | ERR TOKEN_MISMATCH | ERR NOT_ACTIVE | ERR BAD_NUMBER

  Moves nothing, and counts in no statistics.
]]
--- @include "num"
--- @include "clock"
--- @include "queue"
--- @include "lease"
local now = clock.given(ARGV[2])
if not now then return {'ERR', 'BAD_NUMBER'} end
local q = queue.open(KEYS[1], now)
local job, refusal = lease.check(q, ARGV[1], ARGV[3])
if not job then return {'ERR', refusal} end
local deadline = num.text(now + job.timeout)
queue.write_job(q, job.id, {'lock_until_ms', deadline, 'updated_ms', num.text(now)})
q.active[job.id] = now + job.timeout
queue.settle(q)
queue.flush(q)
return {'OK', deadline}
