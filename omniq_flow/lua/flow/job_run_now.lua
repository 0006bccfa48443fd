#!lua flags=allow-oom
--[[
  job_run_now: a delayed job waits for a worker now, as if its time had come. Who did it is noted in the history of its run.

  KEYS  anchor
  ARGV  now_ms by job_id
  Reply OK | ERR BAD_NUMBER | ERR NO_JOB | ERR NOT_DELAYED
]]
--- @include "clock"
--- @include "types"
--- @include "keys"
--- @include "queue"
--- @include "run"
--- @include "settle"
--- @include "wake"
local now, id = clock.given(ARGV[1]), ARGV[3]
if not now then return {'ERR', 'BAD_NUMBER'} end
local q = queue.open(KEYS[1], now)
queue.check(q)
local have = redis.call('HMGET', keys.job(q.base, id), 'state', 'gid')
if redis.call('EXISTS', keys.job(q.base, id)) == 0 then return {'ERR', 'NO_JOB'} end
if have[1] ~= 'delayed' or not redis.call('ZSCORE', q.base .. ':delayed', id) then return {'ERR', 'NOT_DELAYED'} end
types.check({keys.live(q.base), 'zset', keys.ended(q.base), 'zset'})
local ctx, f = settle.open(q, 0), keys.parse(id)
local r = f and settle.awaited(ctx, f)
if r then run.note(r, 'job_run_now', ARGV[2], '', {f.id}) end
queue.promote(q, id, have[2])
settle.commit(ctx)
queue.flush(q)
wake.notify(q.base, q.now, q.offered)
return {'OK'}
