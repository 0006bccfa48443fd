--[[
  What a decided step run does to the others (levels §2–§4): tells its consumers, counts into its collection,
  opens a level, and so on as a loop over work items, never as recursion. An item is a table of texts:

    {'s', step, suffix, kind, stamp}    settled; kind is v(alue), s(kipped) or f(ailed)
    {'t', consumer, suffix, stamp}      try: all gates may be closed now
    {'r', consumer, suffix, from}       range: make the elements of a list, from here on
    {'u', consumer, prefix}             unpark: what waited for this gate
    {'c', list, suffix, from, to, own}  clear: facts of elements that a longer list left; own = 1: of the list itself as well
]]
--- @include "num"
--- @include "deque"
--- @include "run"
--- @include "queue"
local advance = {}

local MAX_LOSSES = 4

-- What a producer that was decided tells one input: v(alue), n(othing), s(kipped), f(ailed), '' order only.
local function flag_of(flags, kind)
  if kind == 'f' then return 'f' end
  if string.find(flags, 'a', 1, true) then return '' end
  if kind == 'v' then return 'v' end
  return string.find(flags, 'o', 1, true) and 'n' or 's'
end

-- How a complete collection looks to an input with these flags, or to the collection around it ('').
local function kind_of(c, flags)
  if c.failed > 0 and not string.find(flags, 'r', 1, true) then return 'f' end
  if c.size > 0 and c.skipped == c.size and not string.find(flags, 'h', 1, true) then return 's' end
  return 'v'
end

local function decide(flags, has_each)
  if string.find(flags, 'f', 1, true) then return 'U' end
  if string.find(flags, 's', 1, true) then return 'S' end
  if string.find(flags, 'n', 1, true) and not string.find(flags, 'v', 1, true) and not has_each then return 'S' end
end

local function push(r, item)
  deque.push_front(r.todo, item)
end

-- jobs ------------------------------------------------------------------------

-- Dispatches a step run under the run's epoch. `stamp` is the newest epoch among its inputs.
function advance.dispatch(ctx, r, c, x, stamp, losses)
  local record, epoch, id = run.step(ctx, r, c), r.epoch, c .. x
  local o = record.o
  local rest = (stamp > 1 and '^' .. num.text(stamp) or '') .. ((losses or 0) > 0 and '~' .. num.text(losses) or '')
  run.set(r, c, x, 'Q', epoch, rest)
  run.put(r, 'open', r.open + 1)
  run.inside(r, record, 1)
  queue.enqueue(ctx.q, 'f.' .. r.rid .. '.' .. id .. '.' .. num.text(epoch), {
    payload = '{"run":"' .. r.rid .. '","id":"' .. id .. '","epoch":' .. num.text(epoch) .. '}',
    attempts = o[1], lease = o[2], backoff = o[3], gid = r.gid, limit = r.limit,
  })
end

-- The job of a step run is over, however it went.
function advance.close(ctx, r, step)
  run.put(r, 'open', r.open - 1)
  run.inside(r, run.step(ctx, r, step), -1)
end

-- gates and collections ------------------------------------------------------------

local function tell(ctx, r, edge, z, flag, stamp)
  local c = edge[1]
  local record = run.step(ctx, r, c)
  local depth = select(2, string.gsub(z, '-', ''))
  -- What waits for one member only has no record before that one reports.
  local g = run.gate(r, record, c, z, depth == record.depth and record.g[depth + 1] == 1)
  run.report(g, edge[2])
  g.flags, g.stamp = g.flags .. flag, math.max(g.stamp, stamp)
  if g.left == 0 then
    if depth == record.depth then
      push(r, {'t', c, z, '0'})
    elseif g.parked > 0 then
      run.later(r, c, {'u', c, z})
    end
  end
end

local member

-- A collection is complete. void: how its list step ended, if that made no elements.
local function complete(ctx, r, p, y, c, void)
  local record = run.step(ctx, r, p)
  local up = record.depth - select(2, string.gsub(y, '-', ''))
  local edges = record.up and record.up[up] or {}
  for i = #edges, 1, -1 do tell(ctx, r, edges[i], y, flag_of(edges[i][3], void or kind_of(c, edges[i][3])), c.stamp) end
  if record.up and up < #record.up then
    local around, index = run.parent(y)
    member(ctx, r, p, around, index, void or kind_of(c, ''), c.stamp)
  end
end

member = function(ctx, r, p, y, index, kind, stamp)
  local c = run.collection(r, p, y)
  if not c then error({err = 'DAMAGED run ' .. r.rid .. ': no collection of:' .. p .. y}) end
  run.report(c, index)
  c.failed = c.failed + (kind == 'f' and 1 or 0)
  c.skipped = c.skipped + (kind == 's' and 1 or 0)
  c.stamp = math.max(c.stamp, stamp)
  if c.left == 0 then
    run.drop(c)
    complete(ctx, r, p, y, c)
  end
end

-- The outermost gate around x that still holds the consumer back: its prefix, or nil.
local function closed(r, record, c, x)
  for k = 0, record.depth - 1 do
    if record.g[k + 1] > 0 then
      local z = run.cut(x, k)
      if run.gate(r, record, c, z).left > 0 then return z end
    end
  end
end

-- A list opened: its elements of this consumer are wanted, or the list is parked whole.
local function offer(r, record, c, y)
  local z = closed(r, record, c, y)
  if z then
    run.park(r, run.gate(r, record, c, z), 'in:' .. c .. z, y)
  else
    run.later(r, c, {'r', c, y, '0'})
  end
end

-- the work items -------------------------------------------------------------------

local exec = {}

function exec.s(ctx, r, item)
  local s, x, kind, stamp = item[2], item[3], item[4], tonumber(item[5])
  local record = run.step(ctx, r, s)
  local to = record.to or {}
  -- Work is a stack: told last to first, siblings are dispatched in the order of their definition.
  for i = #to, 1, -1 do tell(ctx, r, to[i], x, flag_of(to[i][3], kind), stamp) end
  if record.up then
    local y, index = run.parent(x)
    member(ctx, r, s, y, index, kind, stamp)
  end
  if record.entry then
    local n = 0
    if kind == 'v' then n = num.read(string.match(run.fact(r, s .. x), ':(%d+)')) end
    local reach = run.marked(r, s .. x)
    if reach > 0 then push(r, {'c', s, x, num.text(math.min(n, reach)), num.text(reach), '0'}) end
    if n > 0 then
      for _, m in ipairs(record.m) do run.known(r, m, n) end
    end
    -- Counts first, children after (L3).
    for _, p in ipairs(record.all or {}) do
      if n > 0 then
        run.new_collection(r, p, x, n)
      else
        complete(ctx, r, p, x, {size = 0, failed = 0, skipped = 0, stamp = stamp}, kind ~= 'v' and kind or nil)
      end
    end
    if n > 0 then
      for _, c in ipairs(record.entry) do offer(r, run.step(ctx, r, c), c, x) end
    end
  end
  return 1 + #to
end

-- A fact that this life of the run has found itself; before the first retry that is every fact.
local function is_of_this_life(r, fact)
  return r.since == 1 or string.sub(fact, 1, 1) == 'Q' or tonumber(string.match(fact, '%d+')) >= r.since
end

local KINDS = {D = 'v', S = 's', F = 'f'}

-- Whether what a step run gave before the retry still holds, and its kind then: nothing that it was made from is newer,
-- and it is no failure that is to be worked again (levels §5).
local function standing(r, id, fact, stamp)
  local letter, epoch = string.match(fact, '^(%a)(%d+)')
  if tonumber(epoch) < math.max(stamp, 1) or letter == 'F' and run.is_asked(r, id, epoch) then return nil end
  return KINDS[letter]
end

-- Whether a failure of this step fails the run; it is noted then.
local function meet_failure(ctx, r, s)
  if run.step(ctx, r, s).rec == 1 then return false end
  if r.state == 'running' then
    run.put(r, 'state', 'failing')
    run.event(r, 'run failing')
  end
  run.put(r, 'failed', '1')
  return true
end

function exec.t(ctx, r, item)
  local c, x, stamp = item[2], item[3], tonumber(item[4])
  local record = run.step(ctx, r, c)
  local z = closed(r, record, c, x)
  if z then
    run.park(r, run.gate(r, record, c, z), 'in:' .. c .. z, x)
    return 1
  end
  local flags = ''
  for k = 0, record.depth do
    if record.g[k + 1] > 0 then
      local g = run.gate(r, record, c, run.cut(x, k))
      flags, stamp = flags .. g.flags, math.max(stamp, g.stamp)
      if k == record.depth then run.drop(g) end
    end
  end
  local fact = run.fact(r, c .. x)
  if fact and is_of_this_life(r, fact) then error({err = 'DAMAGED run ' .. r.rid .. ': ' .. c .. x .. ' was decided already'}) end
  local decided = decide(flags, record.e == 1)
  stamp = decided and stamp or math.max(stamp, run.redone(r, c))
  local kept = not decided and fact and standing(r, c .. x, fact, stamp)
  if kept then
    if kept == 'f' then meet_failure(ctx, r, c) end
    push(r, {'s', c, x, kept, string.match(fact, '%d+')})
    return 1
  end
  if fact ~= (decided or '') .. '0' then run.supersede(r, c, x) end
  if not decided then
    advance.dispatch(ctx, r, c, x, stamp)
  else
    if fact ~= decided .. '0' then run.set(r, c, x, decided, 0) end
    push(r, {'s', c, x, decided == 'U' and 'f' or 's', num.text(stamp)})
  end
  return 1
end

function exec.r(ctx, r, item, left)
  local c, y, from = item[2], item[3], tonumber(item[4])
  local list = run.step(ctx, r, c).l
  local fact = run.fact(r, list[#list] .. y)
  local stamp, n = string.match(fact, '^%a(%d+):(%d+)')
  n = tonumber(n)
  if from + left < n then deque.push_front(run.rests(r)[c], {'r', c, y, num.text(from + left)}) end
  for i = math.min(n, from + left) - 1, from, -1 do push(r, {'t', c, y .. '-' .. i, stamp}) end
  return 0
end

function exec.u(ctx, r, item, left)
  local c, z = item[2], item[3]
  local record = run.step(ctx, r, c)
  local name = 'in:' .. c .. z
  local g = run.gate(r, record, c, z)
  local entries = run.unpark(r, g, name, left)
  if g.parked > 0 then deque.push_front(run.rests(r)[c], item) end
  for _, x in ipairs(entries) do
    if select(2, string.gsub(x, '-', '')) < record.depth then
      offer(r, record, c, x)
    else
      push(r, {'t', c, x, '0'})
    end
  end
  return 1
end

-- What the elements left goes before what is known of their list, so a run that is stopped on the way knows what is left.
function exec.c(ctx, r, item, left)
  local s, y, from, to, own = item[2], item[3], tonumber(item[4]), tonumber(item[5]), item[6]
  if from >= to then
    run.mark(r, s .. y, 0)
    if own == '1' then run.clear(r, s, y) end
    return 1
  end
  local members = run.step(ctx, r, s).m
  local last = math.min(to, from + math.max(math.floor(left / #members), 1))
  push(r, {'c', s, y, num.text(last), item[5], own})
  for i = from, last - 1 do
    for _, m in ipairs(members) do
      local x = y .. '-' .. i
      local reach = run.step(ctx, r, m).m and math.max(run.marked(r, m .. x), num.read(string.match(run.fact(r, m .. x) or '', ':(%d+)'))) or 0
      if reach > 0 then
        push(r, {'c', m, x, '0', num.text(reach), '1'})
      else
        run.clear(r, m, x)
      end
    end
  end
  return (last - from) * #members
end

-- The first list of left-over work whose window has room.
local function resting(ctx, r)
  if not r.lists and r.rest == 0 then return nil end
  local lists = run.rests(r)
  for _, c in ipairs(lists.names) do
    if deque.size(lists[c]) > 0 then
      local level = run.step(ctx, r, c).l
      if run.open_inside(r, level[#level]) < r.window then return lists[c] end
    end
  end
end

-- Works off at most `budget` units; returns what it used.
function advance.drain(ctx, r, budget)
  local left = budget
  if not run.is_going(r) then return 0 end
  while left > 0 do
    local item = deque.pop(r.todo)
    if not item then
      local rest = resting(ctx, r)
      item = rest and deque.pop(rest)
    end
    if not item then break end
    left = left - exec[item[1]](ctx, r, item, left)
  end
  return budget - left
end

-- Starts from the roots: all else follows.
function advance.begin(ctx, r, roots)
  for _, name in ipairs(roots) do deque.push_back(r.todo, {'t', name, '', '0'}) end
end

-- A step run was decided by its job. The consequences are left as work.
function advance.settled(ctx, r, s, x, kind, stamp)
  if kind == 'f' and meet_failure(ctx, r, s) and r.stop and not r.stopped then
    run.forget(ctx, r)
    run.put(r, 'stopped', '1')
  end
  if run.is_going(r) and not r.stopped then
    push(r, {'s', s, x, kind, num.text(stamp)})
  end
end

-- The job of Q(epoch) is gone: a new epoch and a new job, at the fourth loss a failure.
function advance.lose(ctx, r, s, x)
  local fact = run.fact(r, s .. x)
  local losses = num.read(string.match(fact, '~(%d+)')) + 1
  local stamp = num.read(string.match(fact, '%^(%d+)'))
  advance.close(ctx, r, s)
  run.event(r, 'lost ' .. s .. x .. ' ' .. string.match(fact, '^%a(%d+)'))
  run.put(r, 'epoch', r.epoch + 1)
  if losses >= MAX_LOSSES then
    run.set(r, s, x, 'F', r.epoch, '~' .. num.text(losses))
    r.out[s .. x] = '!{"type":"JobLost","message":"job lost ' .. num.text(losses) .. ' times: its record was removed or evicted","step":"' .. s .. x .. '","attempt":0}'
    advance.settled(ctx, r, s, x, 'f', r.epoch)
  else
    advance.dispatch(ctx, r, s, x, stamp, losses)
  end
end

-- After the last drain of a call: the verdict, and whether work is left that can go on now (L2).
function advance.conclude(ctx, r)
  if run.is_over(r) then return end
  if r.open == 0 and not run.has_work(r) then
    local state = r.state == 'cancelling' and 'cancelled' or r.failed and 'failed' or 'succeeded'
    run.put(r, 'state', state)
    run.put(r, 'ended_ms', ctx.q.now)
    run.unpause(r)
    run.event(r, 'run ' .. state)
    r.has_ended = true
  else
    r.is_due = run.is_going(r) and (deque.size(r.todo) > 0 or resting(ctx, r) ~= nil)
  end
end

return advance
