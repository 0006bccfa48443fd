#!lua
--[[
  childs_init: start a completion counter for this many children.

  KEYS  anchor
  ARGV  expected
  Reply OK | ERR NO_EXPECTED | ERR BAD_EXPECTED | ERR ALREADY_INIT

  Refused while the counter runs; what an earlier one left is cleared. Refused before any write when the server is out of
  memory.
]]
--- @include "num"
--- @include "keys"
--- @include "types"
--- @include "counter"
local base, expected = keys.base(KEYS[1]), ARGV[1]
if not expected or expected == '' then return {'ERR', 'NO_EXPECTED'} end
local n = num.given(expected, 0)
if not n or n <= 0 then return {'ERR', 'BAD_EXPECTED'} end
if redis.call('EXISTS', base .. ':count') == 1 then return {'ERR', 'ALREADY_INIT'} end
types.check({base .. ':done', 'set'})
counter.init(base, num.text(n))
return {'OK'}
