#!lua flags=allow-oom
--[[
  run_cancel: end a run without finishing it; a bounded piece a call, the rest by further calls or by sweeps.

  KEYS  anchor
  ARGV  now_ms run_id limit by reason
  Reply OK state open more is_new | GONE | CONFLICT state

  Nothing of the run is begun any more. About `limit` (256) of its waiting jobs, as far as its group is its own, and of its
  delayed ones go with each call; more is 1 while a call may find others. Jobs in a list that others share go when
  they are taken. What is being worked counts if it ends well; the run is cancelled when nothing is open. Sent again it
  goes on with the next piece, and finds a run that is cancelled. One that ended otherwise is refused (CONFLICT).
]]
--- @include "num"
--- @include "clock"
--- @include "types"
--- @include "keys"
--- @include "queue"
--- @include "run"
--- @include "settle"
--- @include "cancel"
local q = queue.open(KEYS[1], clock.now(ARGV[1]))
local base, limit = q.base, num.positive(ARGV[3], 256)
queue.check(q)
types.check({keys.live(base), 'zset', keys.ended(base), 'zset'})
local ctx = settle.open(q, 0)
local r = run.load(ctx, ARGV[2])
if not r or r.purging then return {'GONE'} end
if r.state == 'cancelled' then return {'OK', r.state, 0, 0, 0} end
if run.is_over(r) then return {'CONFLICT', r.state} end
types.check({r.keys.superseded, 'set', r.keys.asked, 'set', r.keys.only, 'set'})
local is_new = run.is_going(r)
if is_new then cancel.begin(ctx, r, ARGV[4], ARGV[5]) end
local n, has_more = cancel.piece(ctx, r, limit)
settle.conclude(ctx, 0)
has_more = has_more and not run.is_over(r)
-- Who cancels may not come back: workers go on with it.
r.is_due = has_more
settle.check(ctx)
cancel.apply(ctx, r, n)
settle.commit(ctx)
queue.flush(q)
return {'OK', r.state, r.open, has_more and 1 or 0, is_new and 1 or 0}
