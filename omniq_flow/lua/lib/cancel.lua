--[[
  A run is being cancelled (levels §5). Nothing of it is begun any more: what is derived is thrown away, the waiting list
  of its own group is emptied and its delayed jobs are taken out, each in bounded pieces. Jobs that wait in a list that
  others share are put away when they are taken; what is being worked is told by its heartbeat, and counts if it ends
  well. The run has ended when nothing of it is open.
]]
--- @include "keys"
--- @include "group"
--- @include "queue"
--- @include "run"
--- @include "settle"
--- @include "standing"
local cancel = {}

-- `r` goes on until now.
function cancel.begin(ctx, r, by, reason)
  run.forget(ctx, r)
  run.put(r, 'state', 'cancelling')
  run.put(r, 'sweep', '0')
  run.unpause(r)
  run.event(r, 'run cancelling')
  run.note(r, 'cancel', by, reason)
end

local function is_awaited(r, f)
  return string.match(run.fact(r, f.id) or '', '^Q(%d+)') == f.epoch
end

-- What stands first in the list of the run's own group, up to a job of somebody else; gives how many `cancel.apply` takes
-- from the list, and whether there are more.
local function waiting(ctx, r, most)
  if r.gid ~= r.rid then return 0, false end
  local q, list, n = ctx.q, group.of(ctx.q, r.gid).prefix .. ':wait', 0
  for _, id in ipairs(redis.call('LRANGE', list, 0, most - 1)) do
    local f = keys.parse(id)
    if not f or f.rid ~= r.rid then break end
    n = n + 1
    if is_awaited(r, f) then settle.cancel_step(ctx, r, f) end
    queue.index(q, 'wait', id)
    q.dead[#q.dead + 1] = keys.job(q.base, id)
  end
  if n == 0 then return 0, false end
  queue.cut_group(q, r.gid)
  queue.count(q, 'group_waiting', -n)
  queue.count(q, 'waiting_total', -n)
  return n, n == most and redis.call('LLEN', list) > most
end

-- One step run that is open by its fact: its job goes, unless it is worked or waits to be taken.
local function look_at(ctx, r, places, f, id)
  local q, state = ctx.q, standing.of(places, id)
  if state == 'wait' or state == 'active' then return end
  settle.cancel_step(ctx, r, f)
  if state == 'delayed' then
    queue.drop_due(q, id)
    q.dead[#q.dead + 1] = keys.job(q.base, id)
  elseif state == 'lost' then
    cancel.clear(ctx, id)
  elseif state == 'failed' then
    r.old[#r.old + 1] = f.id .. '.' .. f.epoch
  end
end

-- What is left of a job that stands nowhere.
function cancel.clear(ctx, id)
  ctx.q.dead[#ctx.q.dead + 1] = keys.job(ctx.base, id)
  for _, lane in ipairs({'wait', 'active', 'delayed'}) do queue.index(ctx.q, lane, id) end
end

-- A piece of what is to go, about `limit` (256) step runs, going round by the cursor in the header. Gives how many ids
-- `cancel.apply` takes from the group's list, and whether this round has more.
function cancel.piece(ctx, r, limit)
  local n, has_more = waiting(ctx, r, limit)
  local places = standing.open(ctx.q, r.check)
  local page = redis.call('HSCAN', r.keys.states, r.head.sweep or redis.call('HGET', r.keys.header, 'sweep') or '0', 'COUNT', limit)
  for i = 1, #page[2], 2 do
    local epoch = string.match(run.fact(r, page[2][i]) or '', '^Q(%d+)')
    if epoch then
      local id = 'f.' .. r.rid .. '.' .. page[2][i] .. '.' .. epoch
      look_at(ctx, r, places, keys.parse(id), id)
    end
  end
  local missing = standing.missing(places)
  if missing then
    settle.cancel_step(ctx, r, keys.parse(missing))
    cancel.clear(ctx, missing)
  end
  run.put(r, 'sweep', page[1])
  r.was_due = true
  return n, has_more or page[1] ~= '0'
end

-- The first write: what is gone from the group's list. Comes before `settle.commit`.
function cancel.apply(ctx, r, n)
  if n > 0 then redis.call('LTRIM', ctx.base .. ':g:' .. r.gid .. ':wait', n, -1) end
end

return cancel
