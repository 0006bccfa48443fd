--[[
  The check that comes before the first write: a key of another type would stop a script half-way (H18).
]]
local types = {}

-- Keys that were seen to be what they should be: within a call they stay so.
local sound = {}

-- expected: {key, type, key, type, …}. Raises before anything is written.
function types.check(expected)
  for i = 1, #expected, 2 do
    local key = expected[i]
    if not sound[key] then
      local have = redis.call('TYPE', key).ok
      if have ~= 'none' and have ~= expected[i + 1] then
        error({err = 'WRONGTYPE ' .. key .. ' is a ' .. have .. ', not a ' .. expected[i + 1] .. '; nothing was changed'})
      end
      sound[key] = true
    end
  end
end

-- A read that tells by its type which key it is, where the server's own error does not.
function types.read(kind, command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) == 'table' and reply.err then
    types.check({key, kind})
    error(reply)
  end
  sound[key] = true
  return reply
end

return types
