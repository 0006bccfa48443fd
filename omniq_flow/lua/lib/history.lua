--[[
  What happened to a run, in its order: `revision|server ms|event`. The list is capped; a checkpoint tells the tallies as
  they stand, so that older events may go (I15).
]]
--- @include "num"
--- @include "many"
local history = {}

local MOST = 2000

-- lines: as they are stored; rev: the revision of the last one; tallies: the key of what is counted, written by now.
function history.push(key, tallies, at, rev, lines)
  if many.call('RPUSH', key, lines) > MOST then
    local have, parts = redis.call('HGETALL', tallies), {}
    for i = 1, #have, 2 do parts[#parts + 1] = have[i] .. '=' .. have[i + 1] end
    redis.call('RPUSH', key, rev .. '|' .. at .. '|checkpoint ' .. table.concat(parts, ' '))
    redis.call('LTRIM', key, -MOST / 2, -1)
  end
end

-- names: the keys of the run; rev: its revision after these events.
function history.write(names, now, rev, events)
  local at, first, lines = num.text(now), rev - #events, {}
  for i, text in ipairs(events) do lines[i] = num.text(first + i) .. '|' .. at .. '|' .. text end
  history.push(names.history, names.tallies, at, num.text(rev), lines)
end

return history
