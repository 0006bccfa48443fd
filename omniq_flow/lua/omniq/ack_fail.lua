#!lua flags=allow-oom
--[[
  ack_fail: an attempt at a leased job failed; it is due again after its backoff, or failed for good.

  KEYS  anchor
  ARGV  job_id now_ms token error
  Reply RETRY due_ms | FAILED | ERR TOKEN_REQUIRED | ERR TOKEN_MISMATCH | ERR NOT_ACTIVE | ERR BAD_NUMBER

  error may be left out or empty: last_error then stays. Of a longer one the first 4096 bytes are kept, whole characters only (D6).
]]
--- @include "num"
--- @include "clock"
--- @include "queue"
--- @include "lease"
--- @include "commit"
local now = clock.given(ARGV[2])
if not now then return {'ERR', 'BAD_NUMBER'} end
local q = queue.open(KEYS[1], now)
local job, refusal = lease.check(q, ARGV[1], ARGV[3])
if not job then return {'ERR', refusal} end
queue.stamp(q, 'last_finish_ms')
local due = lease.attempt_failed(q, job, ARGV[4])
commit.all(q)
if not due then return {'FAILED'} end
return {'RETRY', num.text(due)}
