#!lua flags=allow-oom
--[[
  queue_pause: no job of the queue is leased until it is resumed; who paused it, when and why is noted.

  KEYS  anchor
  ARGV  now_ms by reason replace
  Reply OK was_paused by at_ms reason | ERR BAD_NUMBER

  To other clients it is their own pause. A queue that is paused already keeps its note, unless replace is 1. A note
  counts only while the queue is paused: what is left of a pause that another client lifted is replaced.
]]
--- @include "num"
--- @include "clock"
--- @include "keys"
--- @include "types"
local now = clock.given(ARGV[1])
if not now then return {'ERR', 'BAD_NUMBER'} end
local base = keys.base(KEYS[1])
local note = keys.pause(base)
types.check({note, 'hash'})
local was_paused = redis.call('EXISTS', base .. ':paused')
local keeps = was_paused == 1 and ARGV[4] ~= '1' and redis.call('EXISTS', note) == 1
if not keeps then redis.call('HSET', note, 'by', ARGV[2], 'at_ms', num.text(now), 'reason', ARGV[3]) end
redis.call('SET', base .. ':paused', '1')
local have = redis.call('HMGET', note, 'by', 'at_ms', 'reason')
return {'OK', num.text(was_paused), have[1] or '', have[2] or '', have[3] or ''}
