--[[
  The end of a plain operation: what was planned is checked and written, and idle workers are told of work that can be taken.
]]
--- @include "queue"
--- @include "wake"
local commit = {}

function commit.all(q)
  queue.check_planned(q)
  queue.settle(q)
  queue.flush(q)
  wake.notify(q.base, q.now, q.offered)
end

return commit
