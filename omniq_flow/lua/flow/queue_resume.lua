#!lua flags=allow-oom
--[[
  queue_resume: jobs of the queue are leased again, idle workers are told, and the note of the pause goes.

  KEYS  anchor
  ARGV  -
  Reply OK was_paused by at_ms reason
]]
--- @include "num"
--- @include "clock"
--- @include "keys"
--- @include "types"
--- @include "wake"
local base, ALL = keys.base(KEYS[1]), 1000
local note = keys.pause(base)
types.check({note, 'hash'})
local have = redis.call('HMGET', note, 'by', 'at_ms', 'reason')
local was_paused = redis.call('DEL', base .. ':paused')
redis.call('UNLINK', note)
if was_paused == 1 then wake.notify(base, clock.now(), ALL) end
return {'OK', num.text(was_paused), have[1] or '', have[2] or '', have[3] or ''}
