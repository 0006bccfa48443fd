#!lua flags=allow-oom
--[[
  remove_job: take a job that is not active out of its lane, for good.

  KEYS  anchor
  ARGV  job_id lane now_ms
  Reply OK | ERR NO_JOB | ERR ACTIVE | ERR LANE_MISMATCH | ERR NOT_IN_LANE | ERR BAD_NUMBER

  lane is wait, gwait (a group's waiting list), delayed, failed or completed. A refusal has changed nothing (Q11).
  Clients of OmniQ send no now_ms: it is the server's time then.
]]
--- @include "clock"
--- @include "queue"
--- @include "removal"
local now = clock.given(ARGV[3])
if not now then return {'ERR', 'BAD_NUMBER'} end
local q = queue.open(KEYS[1], now)
queue.check(q)
local job, refusal = removal.check(q, ARGV[1], ARGV[2])
if not job then return {'ERR', refusal} end
if not removal.apply(q, job) then return {'ERR', 'NOT_IN_LANE'} end
removal.commit(q)
return {'OK'}
