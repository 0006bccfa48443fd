#!lua flags=allow-oom
--[[
  run_pause: nothing of a run is begun until it is resumed; who paused it, when and why is noted in its header.

  KEYS  anchor
  ARGV  now_ms run_id by reason
  Reply OK was_paused note | GONE | CONFLICT state

  What is being worked goes on and its results count, back-offs run on, and the next jobs are made and wait. The group that
  is the run's own is ready no more; a job of it that is taken from a list that others share is put off by 5 s, and no
  attempt of it counts. The note is: at_ms by reason;
  a run that is paused already keeps the one it has. Only a run that goes on can be paused (CONFLICT).
]]
--- @include "num"
--- @include "clock"
--- @include "types"
--- @include "keys"
--- @include "queue"
--- @include "run"
--- @include "settle"
local q = queue.open(KEYS[1], clock.now(ARGV[1]))
local base = q.base
queue.check(q)
types.check({keys.live(base), 'zset', keys.ended(base), 'zset'})
local ctx = settle.open(q, 0)
local r = run.load(ctx, ARGV[2])
if not r or r.purging then return {'GONE'} end
if not run.is_going(r) then return {'CONFLICT', r.state} end
local was_paused = run.is_paused(r)
if not was_paused then
  run.put(r, 'paused', num.text(q.now) .. ' ' .. ARGV[3] .. ' ' .. ARGV[4])
  run.note(r, 'pause', ARGV[3], ARGV[4])
  settle.commit(ctx)
  if r.gid == r.rid and redis.call('ZREM', base .. ':groups:ready', r.gid) == 1 then queue.count(q, 'groups_ready', -1) end
  queue.flush(q)
end
return {'OK', was_paused and '1' or '0', r.paused}
