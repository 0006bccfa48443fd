#!lua flags=allow-oom
--[[
  pause: no job of the queue is leased until it is resumed; all else goes on.

  KEYS  anchor
  ARGV  -
  Reply OK, as a status
]]
--- @include "keys"
return redis.call('SET', keys.base(KEYS[1]) .. ':paused', '1')
