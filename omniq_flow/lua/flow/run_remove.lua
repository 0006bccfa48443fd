#!lua flags=allow-oom
--[[
  run_remove: the retention of a run that has ended is over now, and the next pieces of `run_purge` take it away first.

  KEYS  anchor
  ARGV  now_ms run_id
  Reply OK | GONE | CONFLICT state

  From now on nobody can retry it. Sent again it is the same. A run that has not ended is refused (CONFLICT).
]]
--- @include "clock"
--- @include "types"
--- @include "keys"
--- @include "queue"
--- @include "run"
local q = queue.open(KEYS[1], clock.now(ARGV[1]))
local base = q.base
types.check({keys.live(base), 'zset', keys.ended(base), 'zset'})
local r = run.load(run.open(q), ARGV[2])
if not r then return {'GONE'} end
if not run.is_over(r) then return {'CONFLICT', r.state} end
redis.call('HSET', r.keys.header, 'purging', '1')
redis.call('ZREM', keys.live(base), r.rid)
redis.call('ZADD', keys.ended(base), 0, r.rid)
return {'OK'}
