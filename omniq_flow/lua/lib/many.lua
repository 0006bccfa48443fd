--[[
  Commands with many arguments, in slices that Lua's stack holds.
]]
--- @include "types"
local many = {}
local SLICE = 1000

-- call(command, key, {a, b, …}); the slice is even, so pairs stay together.
function many.call(command, key, args)
  local n = #args
  if n == 0 then return end
  if n <= SLICE then return redis.call(command, key, unpack(args)) end
  local last
  for i = 1, n, SLICE do
    last = redis.call(command, key, unpack(args, i, math.min(i + SLICE - 1, n)))
  end
  return last
end

-- Fields of a hash, in their order.
function many.get(key, fields)
  local n = #fields
  if n <= SLICE then return n > 0 and types.read('hash', 'HMGET', key, unpack(fields)) or {} end
  local have = {}
  for i = 1, n, SLICE do
    for k, value in ipairs(types.read('hash', 'HMGET', key, unpack(fields, i, math.min(i + SLICE - 1, n)))) do have[i + k - 1] = value end
  end
  return have
end

-- The same as `call` for commands whose arguments are all keys.
function many.unlink(names)
  for i = 1, #names, SLICE do
    redis.call('UNLINK', unpack(names, i, math.min(i + SLICE - 1, #names)))
  end
end

return many
