--[[
  The statistics of a queue (wire §4), added up and written once a call.

  A decrement never leaves a counter below zero. `low` remembers how deep a sequence of changes went, so that
  writing the sum at the end gives what writing each change in turn would have given.
]]
--- @include "num"
--- @include "types"
local stats = {}

function stats.new(key)
  return {key = key, sum = {}, low = {}, set = {}, have = {}}
end

function stats.add(s, field, delta)
  local sums = s.sum
  local sum = (sums[field] or 0) + delta
  sums[field] = sum
  if sum < 0 and sum < (s.low[field] or 0) then s.low[field] = sum end
end

-- A value that replaces what is there: a time, a length.
function stats.put(s, field, value)
  s.set[field] = value
end

-- What the counters are that change, and those of `more` that still may; each is read once. Raises if the key has another
-- type, so it comes before the first write (H18).
function stats.read(s, more)
  local fields, n = {}, 0
  for field in pairs(s.sum) do
    if s.have[field] == nil then
      n = n + 1
      fields[n] = field
    end
  end
  for _, field in ipairs(more or {}) do
    if not s.sum[field] then
      n = n + 1
      fields[n] = field
    end
  end
  if n == 0 then return types.check({s.key, 'hash'}) end
  local have = types.read('hash', 'HMGET', s.key, unpack(fields))
  for i, field in ipairs(fields) do s.have[field] = have[i] end
end

function stats.flush(s)
  stats.read(s)
  local args, n = {}, 0
  for field, sum in pairs(s.sum) do
    local have = s.have[field]
    local after = num.text(sum + math.max(num.read(have), -(s.low[field] or 0)))
    if after ~= have then
      args[n + 1], args[n + 2] = field, after
      n = n + 2
    end
  end
  for field, value in pairs(s.set) do
    args[n + 1], args[n + 2] = field, num.text(value)
    n = n + 2
  end
  if n > 0 then redis.call('HSET', s.key, unpack(args)) end
end

return stats
