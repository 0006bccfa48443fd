#!lua flags=allow-oom
--[[
  run_resume: what waits of a paused run may begin again.

  KEYS  anchor
  ARGV  now_ms run_id by reason
  Reply OK was_paused note | GONE | CONFLICT state

  The note is that of the pause that ends: at_ms by reason. Jobs that were put off meanwhile come within 5 s. A run that
  has ended or is being cancelled is refused (CONFLICT): it is not paused.
]]
--- @include "clock"
--- @include "types"
--- @include "keys"
--- @include "group"
--- @include "queue"
--- @include "run"
--- @include "settle"
--- @include "wake"
local q = queue.open(KEYS[1], clock.now(ARGV[1]))
local base = q.base
queue.check(q)
types.check({keys.live(base), 'zset', keys.ended(base), 'zset'})
local ctx = settle.open(q, 0)
local r = run.load(ctx, ARGV[2])
if not r or r.purging then return {'GONE'} end
if not run.is_going(r) then return {'CONFLICT', r.state} end
if not run.is_paused(r) then return {'OK', '0', ''} end
local note = r.paused
run.put(r, 'paused', '')
run.note(r, 'resume', ARGV[3], ARGV[4])
if r.gid == r.rid then group.of(q, r.gid).may_serve = true end
settle.commit(ctx)
queue.flush(q)
wake.notify(base, q.now, q.offered)
return {'OK', '1', note}
