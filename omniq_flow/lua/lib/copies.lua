--[[
  A run whose facts are being copied from another (`run_rerun`), before it begins: they lie under its id and there is no
  header, so nobody shows, works or steers it. It stands in `copies` with the time at which it is given up; each piece of
  the copying puts that off.
]]
--- @include "many"
--- @include "keys"
--- @include "run_keys"
local copies = {}

-- Gives a copy up: its facts at once, at most `limit` of its values a call. What is left, and whether that was all.
function copies.drop(base, rid, limit)
  local k, values = run_keys.of(base, rid, '0'), {}
  redis.call('UNLINK', keys.copy(base, rid), k.states, k.outputs, k.tallies, k.tokens)
  for _, name in ipairs(redis.call('SPOP', k.big, limit)) do
    local id, epoch = string.match(name, '^(.*):(%d+)$')
    values[#values + 1] = run_keys.value(base, rid, id, epoch)
  end
  many.unlink(values)
  if redis.call('EXISTS', k.big) == 1 then return limit - #values, false end
  redis.call('ZREM', keys.copies(base), rid)
  return limit - #values, true
end

-- The purge is to take it away next.
function copies.give_up(base, rid)
  redis.call('UNLINK', keys.copy(base, rid))
  redis.call('ZADD', keys.copies(base), 0, rid)
end

return copies
