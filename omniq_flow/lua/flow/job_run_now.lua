#!lua flags=allow-oom
--[[
  job_run_now: a delayed job waits for a worker now, as if its time had come.

  KEYS  anchor
  ARGV  now_ms job_id
  Reply OK | ERR BAD_NUMBER | ERR NO_JOB | ERR NOT_DELAYED
]]
--- @include "clock"
--- @include "keys"
--- @include "queue"
--- @include "commit"
local now, id = clock.given(ARGV[1]), ARGV[2]
if not now then return {'ERR', 'BAD_NUMBER'} end
local q = queue.open(KEYS[1], now)
queue.check(q)
local have = redis.call('HMGET', keys.job(q.base, id), 'state', 'gid')
if redis.call('EXISTS', keys.job(q.base, id)) == 0 then return {'ERR', 'NO_JOB'} end
if have[1] ~= 'delayed' or not redis.call('ZSCORE', q.base .. ':delayed', id) then return {'ERR', 'NOT_DELAYED'} end
queue.promote(q, id, have[2])
commit.all(q)
return {'OK'}
