#!lua flags=allow-oom
--[[
  resume: jobs of the queue are leased again; idle workers are told.

  KEYS  anchor
  ARGV  -
  Reply 1, or 0 for a queue that was not paused
]]
--- @include "clock"
--- @include "keys"
--- @include "wake"
local base, ALL = keys.base(KEYS[1]), 1000
local was_paused = redis.call('DEL', base .. ':paused')
if was_paused == 1 then wake.notify(base, clock.now(), ALL) end
return was_paused
