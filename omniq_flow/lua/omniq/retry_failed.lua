#!lua flags=allow-oom
--[[
  retry_failed: a failed job starts over, at the end of its waiting list and with no attempt counted.

  KEYS  anchor
  ARGV  job_id now_ms
  Reply OK | ERR NO_JOB | ERR NOT_FAILED | ERR BAD_NUMBER

  Entries that it left in other lanes are cleared (Q14).
]]
--- @include "clock"
--- @include "queue"
--- @include "retry"
local now = clock.given(ARGV[2])
if not now then return {'ERR', 'BAD_NUMBER'} end
local q = queue.open(KEYS[1], now)
queue.check(q)
local refusal = retry.plan(q, ARGV[1])
if refusal then return {'ERR', refusal} end
retry.commit(q)
return {'OK'}
