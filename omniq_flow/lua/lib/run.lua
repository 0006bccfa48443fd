--[[
  One run within one call: facts, gates and work are read as they are wanted, changed in memory, written once.

  Facts (header, states, outputs) are kept; gates, collections, parked entries and left-over work are derived
  from them and carry the generation of the run (levels §2, §3). A step run is named by its step and its
  suffix: `read` and `-3-7`. A gate's record is `left|flags|newest epoch|parked`, a collection's
  `size|left|failed|skipped|newest epoch`; beside each stands a check_completion counter with the same members.
]]
--- @include "num"
--- @include "keys"
--- @include "run_keys"
--- @include "types"
--- @include "deque"
local run = {}

local HEADER = {
  'state', 'sha', 'epoch', 'gen', 'open', 'rev', 'gid', 'limit', 'stop', 'window', 'retention', 'work', 'rest', 'failed', 'check',
  'stopped', 'retry', 'only', 'damage', 'purging', 'paused',
}

function run.open(q)
  return {q = q, base = q.base, runs = {}, order = {}, plans = {}}
end

-- `r` has the fields of the header; now it has what is kept in memory as well.
local function fresh(ctx, rid, r)
  r.rid, r.keys, r.head, r.s, r.changed, r.out, r.done, r.gate, r.tally = rid, run_keys.of(ctx.base, rid, r.gen), {}, {}, {}, {}, {}, {}, {}
  r.events, r.big, r.parked, r.began, r.ended, r.gone, r.old, r.reach, r.redo, r.asking, r.asked = {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}
  r.todo = deque.new(r.keys.work, r.work)
  return r
end

-- The run, or nil if there is no header (RUN_GONE). Keys that are only going to be written are checked by `write.check`.
function run.load(ctx, rid)
  local r = ctx.runs[rid]
  if r ~= nil then return r or nil end
  local h = types.read('hash', 'HMGET', run_keys.header(ctx.base, rid), unpack(HEADER))
  if not h[1] then
    ctx.runs[rid] = false
    return nil
  end
  r = fresh(ctx, rid, {
    state = h[1], sha = h[2], epoch = num.read(h[3]), gen = num.read(h[4]), open = num.read(h[5]), rev = num.read(h[6]), gid = h[7],
    limit = num.read(h[8]), stop = h[9] == '1', window = num.read(h[10]), retention = num.read(h[11]), work = num.read(h[12]),
    rest = num.read(h[13]), failed = h[14] == '1', check = num.read(h[15]), stopped = h[16] == '1', retry = h[17], only = h[18] == '1',
    damage = h[19], purging = h[20], paused = h[21],
    -- The epoch at which the run was started, or retried last: facts from before are those of an earlier life.
    since = h[17] and num.read(string.match(h[17], '^%d+')) + 1 or 1,
  })
  if r.since > 1 or not run.is_going(r) then
    local k = r.keys
    types.check({k.asked, 'set', k.only, 'set', k.reach, 'hash', k.superseded, 'set'})
  end
  run.add(ctx, r)
  if ctx.damaged and ctx.damaged[rid] and not run.is_over(r) then run.end_damaged(ctx, r, ctx.damaged[rid]) end
  return r
end

function run.add(ctx, r)
  ctx.runs[r.rid] = r
  ctx.order[#ctx.order + 1] = r.rid
  return r
end

-- A run that is about to be written for the first time.
function run.create(ctx, rid, h)
  local r = fresh(ctx, rid, h)
  r.is_new, r.since = true, r.since or 1
  return run.add(ctx, r)
end

-- A run that contradicts itself can not go on: it fails with the reason in its header, and its jobs are of no use.
function run.end_damaged(ctx, r, why)
  run.forget(ctx, r)
  run.put(r, 'state', 'failed')
  run.put(r, 'damage', why)
  run.unpause(r)
  run.put(r, 'ended_ms', ctx.q.now)
  run.event(r, 'run failed')
  r.has_ended = true
end

-- The packed record of a step in the run's plan.
function run.step(ctx, r, name)
  local plan = ctx.plans[r.sha]
  if not plan then
    plan = {}
    ctx.plans[r.sha] = plan
  end
  local record = plan[name]
  if not record then
    local text = redis.call('HGET', keys.plan(ctx.base, r.sha), name)
    if not text then error({err = 'NO_PLAN run ' .. r.rid .. ': plan ' .. r.sha .. ' has no step ' .. name}) end
    record = cjson.decode(text)
    record.l = record.l or {}
    record.depth = #record.l
    plan[name] = record
  end
  return record
end

function run.is_going(r)
  return r.state == 'running' or r.state == 'failing'
end

function run.is_over(r)
  return r.state == 'succeeded' or r.state == 'failed' or r.state == 'cancelled'
end

-- Nothing of a paused run is begun; what ends or is cancelled is paused no more.
function run.is_paused(r)
  return r.paused and r.paused ~= ''
end

function run.unpause(r)
  if run.is_paused(r) then run.put(r, 'paused', '') end
end

-- A header field that is to be written.
function run.put(r, field, value)
  r[field] = value
  r.head[field] = value
end

function run.event(r, text)
  r.rev = r.rev + 1
  r.events[#r.events + 1] = text
end

-- Somebody steered the run: how, who (one word) and why; `ids` are the step runs that it was done to, if not to the run.
function run.note(r, what, by, reason, ids)
  if ids and #ids > 0 then
    what = what .. ':' .. table.concat(ids, ',', 1, math.min(#ids, 5)) .. (#ids > 5 and ',+' .. num.text(#ids - 5) or '')
  end
  run.event(r, 'steered ' .. what .. ' ' .. (by == '' and '-' or by) .. (reason == '' and '' or ' ' .. reason))
end

-- suffixes ------------------------------------------------------------------

-- The first k indices of a suffix: cut('-3-7', 1) is '-3'.
function run.cut(x, k)
  if k == 0 then return '' end
  local at = 1
  for _ = 1, k do
    at = string.find(x, '-', at + 1, true)
    if not at then return x end
  end
  return string.sub(x, 1, at - 1)
end

-- '-3-7' -> '-3', '7'
function run.parent(x)
  return string.match(x, '^(.*)%-(%d+)$')
end

-- facts ---------------------------------------------------------------------

-- The stored fact of a step run, or false.
function run.fact(r, id)
  local fact = r.s[id]
  if fact == nil then
    fact = not r.is_new and types.read('hash', 'HGET', r.keys.states, id) or false
    r.s[id] = fact
  end
  return fact
end

local function tally(r, field, delta)
  r.tally[field] = (r.tally[field] or 0) + delta
end

-- `letter` with an epoch, and what follows it (`:length`, `^inputs`, `~losses`).
function run.set(r, step, x, letter, epoch, rest)
  local id = step .. x
  local before = run.fact(r, id)
  local was = before and string.sub(before, 1, 1)
  if was then tally(r, step .. ':' .. was, -1) end
  tally(r, step .. ':' .. letter, 1)
  if letter == 'Q' then r.began[step] = true else r.ended[step] = true end
  r.s[id] = letter .. num.text(epoch) .. (rest or '')
  r.changed[id] = true
  -- Where it is not the usual one the event says what it was, so that tallies fold from any checkpoint on (I15).
  local from = was and was ~= 'Q' and ' ' .. was or ''
  run.event(r, letter .. ' ' .. id .. ' ' .. num.text(epoch) .. from)
end

-- What a step run left under an earlier dispatch goes, for it is decided anew or its element is no more. Of a list it is
-- kept in mind how far the facts of its elements reach; of a failed job that its record is still to be purged.
function run.supersede(r, step, x)
  local id = step .. x
  local fact = run.fact(r, id)
  if not fact then return end
  local letter, epoch, length = string.match(fact, '^(%a)(%d+):?(%d*)')
  if letter == 'F' then r.old[#r.old + 1] = id .. '.' .. epoch end
  if epoch ~= '0' then r.gone[#r.gone + 1] = {id = id, epoch = epoch} end
  if num.read(length) > run.marked(r, id) then run.mark(r, id, num.read(length)) end
end

-- A step run that exists no more.
function run.clear(r, step, x)
  local fact = run.fact(r, step .. x)
  if not fact then return end
  run.supersede(r, step, x)
  run.mark(r, step .. x, 0)
  local was = string.sub(fact, 1, 1)
  tally(r, step .. ':' .. was, -1)
  r.s[step .. x], r.changed[step .. x] = false, true
  run.event(r, 'P ' .. step .. x .. ' 0 ' .. was)
end

-- How many elements of a list that was decided anew may have facts of before; 0 if none was noted.
function run.marked(r, id)
  if r.since == 1 then return 0 end
  if not r.reach[id] then r.reach[id] = num.read(redis.call('HGET', r.keys.reach, id)) end
  return r.reach[id]
end

function run.mark(r, id, n)
  if run.marked(r, id) == n then return end
  r.reach[id], r.remarked = n, r.remarked or {}
  r.remarked[id] = true
end

-- The epoch from which on a step is to be done again although it succeeded; 0 if it was not asked for.
function run.redone(r, step)
  if r.since == 1 then return 0 end
  if not r.redo[step] then r.redo[step] = num.read(redis.call('HGET', r.keys.header, 'redo:' .. step)) end
  return r.redo[step]
end

-- Whether this failure is to be worked again in this life of the run.
function run.is_asked(r, id, epoch)
  if not r.only then return true end
  local member = id .. '.' .. epoch
  -- In the call that retries the run, what is asked for is still to become what it works.
  if r.is_reopened then return r.asked[member] or redis.call('SISMEMBER', r.keys.asked, member) == 1 end
  return redis.call('SISMEMBER', r.keys.only, member) == 1
end

-- A failure (step run and epoch) that is to be worked again, when the run is retried next.
function run.ask(r, id, epoch)
  local member = id .. '.' .. epoch
  r.asking[#r.asking + 1], r.asked[member] = member, true
end

-- A job of a step that runs inside lists opens or ends: the windows of these lists.
function run.inside(r, record, delta)
  for _, list in ipairs(record.l) do tally(r, list .. ':i', delta) end
end

-- An attempt of a step run failed and another follows.
function run.again(r, f, attempt)
  tally(r, f.step .. ':r', 1)
  run.event(r, 'retry ' .. f.id .. ' ' .. f.epoch .. ' ' .. num.text(attempt))
end

function run.known(r, step, delta)
  tally(r, step .. ':t', delta)
end

-- How many step runs are known is counted again as lists open again.
function run.know_nothing(r)
  local have = redis.call('HGETALL', r.keys.tallies)
  for i = 1, #have, 2 do
    if string.sub(have[i], -2) == ':t' then tally(r, have[i], -num.read(have[i + 1])) end
  end
end

-- How many jobs are open inside a list step.
function run.open_inside(r, list)
  local field = list .. ':i'
  r.inside_read = r.inside_read or {}
  if not r.inside_read[list] then r.inside_read[list] = num.read(not r.is_new and redis.call('HGET', r.keys.tallies, field)) end
  return r.inside_read[list] + (r.tally[field] or 0)
end

-- gates and collections ---------------------------------------------------------

local function read_record(r, name)
  local text = not r.is_new and types.read('hash', 'HGET', r.keys.gates, name)
  r.has_read_gates = true
  if not text then return nil end
  local parts = {}
  for part in string.gmatch(text .. '|', '([^|]*)|') do parts[#parts + 1] = part end
  return parts
end

-- The gate of a consumer at a prefix; without a record it is full.
function run.gate(r, record, c, z, is_new)
  local name = 'in:' .. c .. z
  local g = r.gate[name]
  if not g then
    local p = not is_new and read_record(r, name)
    if p then
      g = {left = num.read(p[1]), flags = p[2], stamp = num.read(p[3]), parked = num.read(p[4]), is_stored = true}
    else
      g = {flags = '', stamp = 0, parked = 0}
    end
    g.size = record.g[math.max(select(2, string.gsub(z, '-', '')), 0) + 1]
    g.left = g.left or g.size
    r.gate[name] = g
  end
  return g
end

function run.collection(r, p, y)
  local name = 'of:' .. p .. y
  local c = r.gate[name]
  if c == nil then
    local parts = read_record(r, name)
    c = parts and {
      size = num.read(parts[1]), left = num.read(parts[2]), failed = num.read(parts[3]), skipped = num.read(parts[4]),
      stamp = num.read(parts[5]), is_stored = true,
    } or false
    r.gate[name] = c
  end
  return c
end

function run.new_collection(r, p, y, size)
  r.gate['of:' .. p .. y] = {size = size, left = size, failed = 0, skipped = 0, stamp = 0, is_changed = true}
end

-- A member reported: counted in the record now, in the counter at the end of the call.
function run.report(g, member)
  g.left, g.is_changed = g.left - 1, true
  g.members = g.members or {}
  g.members[#g.members + 1] = member
end

function run.drop(g)
  g.is_gone, g.is_changed = true, true
end

-- An entry that waits for a gate: of one step run, or of a whole list.
function run.park(r, g, name, entry)
  g.parked, g.is_changed = g.parked + 1, true
  local list = r.parked[name]
  if not list then
    list = {}
    r.parked[name] = list
  end
  list[#list + 1] = entry
end

-- Up to n entries of a gate, first the stored ones. Each is handed out once.
function run.unpark(r, g, name, n)
  local out, list = {}, r.parked[name] or {}
  local stored = g.parked - #list
  if stored > 0 then
    local low = '[' .. name .. '|'
    g.skip = g.skip or 0
    for _, member in ipairs(redis.call('ZRANGEBYLEX', r.keys.parked, low, low .. '\255', 'LIMIT', g.skip, n)) do
      out[#out + 1] = string.sub(member, #name + 2)
      g.drop = g.drop or {}
      g.drop[#g.drop + 1] = member
    end
    g.skip = g.skip + #out
  end
  while #out < n and #list > 0 do out[#out + 1] = table.remove(list) end
  g.parked, g.is_changed = g.parked - #out, true
  return out
end

-- left-over work ---------------------------------------------------------------

-- Lists of work that waits for a window, one per consumer: expansions and releases.
function run.rests(r)
  if not r.lists then
    r.lists = {names = {}}
    if r.rest > 0 then
      local have = redis.call('HGETALL', r.keys.rests)
      for i = 1, #have, 2 do
        r.lists[have[i]] = deque.new(r.keys.work .. ':' .. have[i], num.read(have[i + 1]))
        r.lists.names[#r.lists.names + 1] = have[i]
      end
      table.sort(r.lists.names)
    end
  end
  return r.lists
end

function run.later(r, c, item)
  local lists = run.rests(r)
  if not lists[c] then
    lists[c] = deque.new(r.keys.work .. ':' .. c, 0)
    types.check({lists[c].key, 'list'})
    lists.names[#lists.names + 1] = c
  end
  deque.push_back(lists[c], item)
end

-- How much work is left in lists that wait for a window.
function run.resting(r)
  if not r.lists then return r.rest end
  local n = 0
  for _, c in ipairs(r.lists.names) do n = n + deque.size(r.lists[c]) end
  return n
end

function run.has_work(r)
  return deque.size(r.todo) > 0 or run.resting(r) > 0
end

-- All that is derived is thrown away; who holds it in memory forgets it, what is stored goes to the trash.
function run.forget(ctx, r)
  if r.is_new then
    r.gate, r.parked, r.todo, r.lists = {}, {}, deque.new(r.keys.work, 0), {names = {}}
    return
  end
  r.forgotten = r.forgotten or {}
  local lists = run.rests(r)
  local stale = {r.keys.work, r.keys.rests, r.keys.parked}
  for _, c in ipairs(lists.names) do stale[#stale + 1] = r.keys.work .. ':' .. c end
  r.forgotten[#r.forgotten + 1] = {gates = r.keys.gates, stale = stale, name = r.rid .. '.' .. num.text(r.gen)}
  run.put(r, 'gen', r.gen + 1)
  r.keys = run_keys.of(ctx.base, r.rid, num.text(r.gen))
  r.gate, r.parked, r.todo, r.lists = {}, {}, deque.new(r.keys.work, 0), {names = {}}
  run.put(r, 'rest', 0)
end

return run
