--[[
  The end of a call for one run: what changed in memory (`run`) is written, each key once, after `write.check`.
]]
--- @include "num"
--- @include "keys"
--- @include "run_keys"
--- @include "many"
--- @include "counter"
--- @include "deque"
--- @include "history"
--- @include "ending"
--- @include "run"
--- @include "types"
local write = {}

-- The tallies as they are going to be: what is added up, and when a step began first.
local function plan_tallies(ctx, r)
  local fields, sums = {}, {}
  for field, delta in pairs(r.tally) do
    if delta ~= 0 then fields[#fields + 1] = field end
  end
  local n = #fields
  for step in pairs(r.began) do fields[#fields + 1] = step .. ':b' end
  local have, now = r.is_new and {} or many.get(r.keys.tallies, fields), num.text(ctx.q.now)
  for i, field in ipairs(fields) do
    if i <= n then
      sums[#sums + 1], sums[#sums + 2] = field, num.text(num.read(have[i]) + r.tally[field])
    elseif not have[i] then
      sums[#sums + 1], sums[#sums + 2] = field, now
    end
  end
  -- When the latest step run was decided: the history forgets, this does not.
  for step in pairs(r.ended) do sums[#sums + 1], sums[#sums + 2] = step .. ':e', now end
  return sums
end

-- Whether a record is going to be written where none was read.
local function writes_gates(r)
  for _, g in pairs(r.gate) do
    if g and g.is_changed and not g.is_gone then return true end
  end
  return false
end

-- Before the first write of a call: what is going to be written is of its type, so that nothing fails half-way (H18). Facts,
-- gates and the header were read, which tells their types; a new run has no keys yet.
function write.check(ctx, r)
  r.sums = plan_tallies(ctx, r)
  if r.is_new then return end
  local has_gone = #r.gone > 0
  if has_gone or next(r.out) then types.check({r.keys.outputs, 'hash'}) end
  if has_gone or next(r.done) then types.check({r.keys.tokens, 'hash'}) end
  if has_gone or #r.big > 0 then types.check({r.keys.big, 'set'}) end
  if #r.events > 0 then types.check({r.keys.history, 'list'}) end
  if not r.has_read_gates and writes_gates(r) then types.check({r.keys.gates, 'hash'}) end
  if next(r.parked) then types.check({r.keys.parked, 'zset'}) end
  if deque.is_changed(r.todo) then types.check({r.keys.work, 'list'}) end
  if r.lists and r.rest == 0 then types.check({r.keys.rests, 'hash'}) end
  if r.has_ended or r.is_reopened then types.check({keys.ended(ctx.base), 'zset'}) end
end

local function write_gates(r)
  local set, drop = {}, {}
  for name, g in pairs(r.gate) do
    if g and g.is_changed then
      local base = r.keys.counters .. name
      local is_collection = string.sub(name, 1, 3) == 'of:'
      if g.is_gone then
        if g.is_stored then
          drop[#drop + 1] = name
          counter.drop(base)
        end
      else
        if g.left > 0 then
          -- The record decides, the counter shows it to others: what somebody put in its place must not stop the run.
          if not g.is_stored then pcall(counter.init, base, num.text(g.size)) end
          if g.members then pcall(counter.report, base, g.members) end
        elseif g.is_stored then
          counter.drop(base)
        end
        set[#set + 1] = name
        set[#set + 1] = is_collection
          and table.concat({num.text(g.size), num.text(g.left), num.text(g.failed), num.text(g.skipped), num.text(g.stamp)}, '|')
          or table.concat({num.text(g.left), g.flags, num.text(g.stamp), num.text(g.parked)}, '|')
      end
      if g.drop then many.call('ZREM', r.keys.parked, g.drop) end
    end
  end
  if #set > 0 then many.call('HSET', r.keys.gates, set) end
  if #drop > 0 then many.call('HDEL', r.keys.gates, drop) end
  for name, entries in pairs(r.parked) do
    local args = {}
    for _, entry in ipairs(entries) do
      args[#args + 1] = 0
      args[#args + 1] = name .. '|' .. entry
    end
    many.call('ZADD', r.keys.parked, args)
  end
end

local function write_work(r)
  deque.flush(r.todo)
  local left = deque.size(r.todo)
  if left ~= r.work then run.put(r, 'work', left) end
  if r.lists then
    local counts, gone = {}, {}
    for _, c in ipairs(r.lists.names) do
      deque.flush(r.lists[c])
      local n = deque.size(r.lists[c])
      if n > 0 then
        counts[#counts + 1] = c
        counts[#counts + 1] = num.text(n)
      else
        gone[#gone + 1] = c
      end
    end
    many.call('HDEL', r.keys.rests, gone)
    many.call('HSET', r.keys.rests, counts)
    local n = run.resting(r)
    if n ~= r.rest then run.put(r, 'rest', n) end
  end
end

local function write_map(key, map)
  local args, n = {}, 0
  for field, value in pairs(map) do
    args[n + 1], args[n + 2] = field, type(value) == 'number' and num.text(value) or value
    n = n + 2
  end
  many.call('HSET', key, args)
end

local function write_forgotten(ctx, r)
  for _, old in ipairs(r.forgotten or {}) do
    many.unlink(old.stale)
    if redis.call('EXISTS', old.gates) == 1 then redis.call('SADD', keys.trash(ctx.base), old.name) end
  end
end

-- What was decided anew takes its older value, token and failed job with it.
local function write_gone(ctx, r)
  if #r.gone == 0 and #r.old == 0 and not r.remarked then return end
  local ids, tokens, big, values = {}, {}, {}, {}
  for i, old in ipairs(r.gone) do
    ids[i], tokens[i], big[i] = old.id, old.id .. '.' .. old.epoch, old.id .. ':' .. old.epoch
    values[i] = run_keys.value(ctx.base, r.rid, old.id, old.epoch)
  end
  many.call('HDEL', r.keys.outputs, ids)
  many.call('HDEL', r.keys.tokens, tokens)
  many.call('SREM', r.keys.big, big)
  many.unlink(values)
  many.call('SADD', r.keys.superseded, r.old)
  local marks, unmarked = {}, {}
  for id in pairs(r.remarked or {}) do
    if r.reach[id] > 0 then marks[id] = r.reach[id] else unmarked[#unmarked + 1] = id end
  end
  write_map(r.keys.reach, marks)
  many.call('HDEL', r.keys.reach, unmarked)
end

-- A run that is retried is among the live again, and what was asked for until now is what it works.
local function write_asked(ctx, r)
  if #r.asking > 0 then many.call('SADD', r.keys.asked, r.asking) end
  if not r.is_reopened then
    -- What is worked now need not be asked for.
    if #r.old > 0 then many.call('SREM', r.keys.asked, r.old) end
    return
  end
  redis.call('ZREM', keys.ended(ctx.base), r.rid)
  if r.only and redis.call('EXISTS', r.keys.asked) == 1 then
    redis.call('RENAME', r.keys.asked, r.keys.only)
  else
    redis.call('UNLINK', r.keys.asked, r.keys.only)
  end
end

-- Due now while there is work that can go on, else looked at again in a while (I13).
local function write_live(ctx, r)
  local at = r.is_due and ctx.q.now or ctx.q.now + r.check
  if r.is_new or r.is_due or r.was_due then redis.call('ZADD', keys.live(ctx.base), at, r.rid) end
end

-- Writes everything of one run. The queue's jobs and lanes are written by `queue.settle`.
function write.run(ctx, r)
  local facts, cleared = {}, {}
  for id in pairs(r.changed) do
    if r.s[id] then facts[id] = r.s[id] else cleared[#cleared + 1] = id end
  end
  write_forgotten(ctx, r)
  write_work(r)
  if r.is_new or #r.events > 0 then run.put(r, 'rev', r.rev) end
  write_map(r.keys.header, r.head)
  write_gone(ctx, r)
  write_asked(ctx, r)
  write_map(r.keys.states, facts)
  if #cleared > 0 then many.call('HDEL', r.keys.states, cleared) end
  if next(r.out) then write_map(r.keys.outputs, r.out) end
  if next(r.done) then write_map(r.keys.tokens, r.done) end
  if #r.big > 0 then many.call('SADD', r.keys.big, r.big) end
  many.call('HSET', r.keys.tallies, r.sums)
  write_gates(r)
  if #r.events > 0 then history.write(r.keys, ctx.q.now, r.rev, r.events) end
  if run.is_over(r) then
    if r.has_ended then ending.write(ctx.q, r) end
  else
    write_live(ctx, r)
  end
end

return write
