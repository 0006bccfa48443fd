#!lua flags=allow-oom
--[[
  child_ack: a child reports to a completion counter; a child counts once, however often it reports.

  KEYS  anchor
  ARGV  child_id
  Reply OK remaining | ERR CHILD_REQUIRED | ERR NO_COUNTER

  Zero is said once, and the counter is gone with it: reports after that answer NO_COUNTER.
]]
--- @include "num"
--- @include "keys"
--- @include "types"
--- @include "counter"
local base, child = keys.base(KEYS[1]), ARGV[1]
if not child or child == '' then return {'ERR', 'CHILD_REQUIRED'} end
types.check({base .. ':count', 'string', base .. ':done', 'set'})
local count = redis.call('GET', base .. ':count')
if not count then return {'ERR', 'NO_COUNTER'} end
if not string.match(count, '^%-?%d+$') then return {err = 'WRONGTYPE ' .. base .. ':count is no number; nothing was changed'} end
return {'OK', num.text(counter.report(base, {child}))}
