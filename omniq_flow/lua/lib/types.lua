--[[
  The check that comes before the first write: a key of another type would stop a script half-way (H18).
]]
local types = {}

-- expected: {key, type, key, type, …}. Raises before anything is written.
function types.check(expected)
  for i = 1, #expected, 2 do
    local have = redis.call('TYPE', expected[i]).ok
    if have ~= 'none' and have ~= expected[i + 1] then
      error({err = 'WRONGTYPE ' .. expected[i] .. ' is a ' .. have .. ', not a ' .. expected[i + 1] .. '; nothing was changed'})
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
  return reply
end

return types
