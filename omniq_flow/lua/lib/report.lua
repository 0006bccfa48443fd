--[[
  What a beat reports, what is due or lapsed, and what follows from it: all in memory, so that it can be thrown away and done
  again. Simple steps go the short way (`hop`), all else the long one (`settle`).
]]
--- @include "num"
--- @include "queue"
--- @include "hop"
--- @include "run"
--- @include "settle"
--- @include "upkeep"
local report = {}

-- What was settled the short way since goes to the queue: before what goes the long way, so that jobs keep their order.
local function flush(q, short)
  if #short.ended == 0 then return end
  queue.stamp(q, 'last_finish_ms')
  queue.succeed(q, short.ended)
  if #short.jobs > 0 then queue.enqueue_all(q, short.jobs) end
  short.ended, short.jobs = {}, {}
end

local function plan(q, beat, short, items, damaged)
  local argv, ctx, codes, orphans, to_sweep = beat.argv, nil, {}, {}, {}
  q.groups, q.is_taken_from = short.groups, beat.want > 0
  local function long()
    if not ctx then
      ctx = settle.open(q, beat.budget, damaged, beat.is_leased)
      for rid in pairs(damaged) do run.load(ctx, rid) end
    end
    return ctx
  end
  for i = 1, beat.n_items do
    if items[i] then
      hop.settle(short, items[i])
      codes[i] = 'OK'
    else
      flush(q, short)
      local n = 2 + i * 6
      codes[i] = settle.item(long(), {
        id = argv[n + 1], token = argv[n + 2], kind = argv[n + 3], number = num.read(argv[n + 4]), value = argv[n + 5], error = argv[n + 6],
      })
    end
  end
  flush(q, short)
  local due = beat.is_due and upkeep.all(long(), orphans) or {}
  if ctx then
    settle.conclude(ctx, beat.budget)
    settle.check(ctx)
  end
  hop.check(short)
  -- Due without work that can go on: its time to be looked after.
  for _, r in ipairs(due) do
    if not run.is_over(r) and not r.is_due then to_sweep[#to_sweep + 1] = r.rid end
  end
  return ctx, codes, orphans, to_sweep
end

-- Gives the queue, what goes the short way, what goes the long way (nil if nothing does), the codes of the items, ids in `live`
-- that are no runs, and runs that are to be swept. beat: anchor, now, argv, n_items, want, budget, room, is_leased, is_due and,
-- if anything may go the short way, short: what `hop.read` read. Runs that turn out to be damaged end here, so that they hold up
-- nobody else.
function report.plan(beat)
  local damaged, short = {}, beat.short
  while true do
    local q = queue.open(beat.anchor, beat.now)
    local way = short or hop.open(q.base, q.now, beat.room)
    local is_good, ctx, codes, orphans, to_sweep = pcall(plan, q, beat, way, short and short.items or {}, damaged)
    if is_good then return q, way, ctx, codes, orphans, to_sweep end
    local text = type(ctx) == 'table' and ctx.err or tostring(ctx)
    local rid = string.match(text, '^DAMAGED run (%w+)') or string.match(text, '^NO_PLAN run (%w+)')
    if not rid or damaged[rid] then error(ctx) end
    damaged[rid] = text
    if short then short = hop.read(hop.open(q.base, q.now, beat.room), beat.argv, 9, beat.n_items, beat.is_leased) end
  end
end

return report
