--[[
  The commonest end of a job and its commonest beginning, written straight. A step run outside of all lists succeeds, in
  the first life of a run that goes on and has no work left over, and each of its consumers waits for it alone: it is decided
  and their jobs are queued. Or it is an element that is only counted (`members`), or a plain job. A step run begins whose
  inputs are outside of all lists, or are its own element.

  `settle`, `advance`, `write` and `handover` do the same for all cases; what is not that simple is left to them, and a run is
  left to them for a whole call. The plan says of each step how simple it is (`hop:<step>`): the consumers with what their jobs
  are made of, and the outputs that are its inputs, each 0 if it is not. As everywhere all is read and checked before the first write.
]]
--- @include "num"
--- @include "keys"
--- @include "run_keys"
--- @include "types"
--- @include "group"
--- @include "history"
--- @include "ending"
--- @include "members"
local hop = {}

local HEADER = {'state', 'sha', 'epoch', 'open', 'rev', 'work', 'rest', 'retry', 'paused'}
local KINDS = {'header', 'states', 'outputs', 'tallies', 'history', 'tokens'}
local INLINE = 65536

-- So many units of a budget one item may need (levels §4); here they are not counted.
hop.UNITS = 8

-- room: the bytes of inputs that a call may hand over still. Groups are as `queue` has them.
function hop.open(base, now, room)
  local h = {base = base, now = now, room = room, groups = {}, runs = {}, plans = {}, touched = {}, ended = {}, jobs = {}}
  for _, kind in ipairs(KINDS) do h[kind] = run_keys.prefix(base, kind) end
  return h
end

-- A run whose step runs may begin, or false.
local function load(h, rid)
  local r = h.runs[rid]
  if r == nil then
    local have = redis.pcall('HMGET', h.header .. rid, unpack(HEADER))
    local state, paused = have[1], have[9]
    r = (state == 'running' or state == 'failing') and (not paused or paused == '') and have[2] and have[3] and {
      rid = rid, sha = have[2], epoch = have[3], open = tonumber(have[4]) or 0, rev = tonumber(have[5]) or 0,
      is_simple = state == 'running' and not have[8] and (have[6] or '0') == '0' and (have[7] or '0') == '0',
    } or false
    h.runs[rid] = r
  end
  return r
end

-- What the plan says of a step: its followers and its inputs.
function hop.record(h, sha, step)
  local plan = h.plans[sha]
  if not plan then
    plan = {}
    h.plans[sha] = plan
  end
  local found = plan[step]
  if not found then
    local text = redis.pcall('HGET', keys.plan(h.base, sha), 'hop:' .. step)
    local is_there, said = pcall(cjson.decode, text)
    found = is_there and said or {0, 0}
    plan[step] = found
  end
  return found
end

local function waits_for(fact, epoch)
  return fact and (fact == 'Q' .. epoch or string.match(fact, '^Q(%d+)') == epoch)
end

-- The item of a plain job as `settle` wants it, nil if its lease is not held by who reports it.
local function plain(h, id, token)
  local job = redis.pcall('HMGET', keys.job(h.base, id), 'lease_token', 'gid')
  if job[1] ~= token then return nil end
  return {id = id, group = job[2] and job[2] ~= '' and group.of(h, job[2]) or nil, followers = {}}
end

-- The same of a step run's job, nil if it is not simple.
local function simple(h, f, id, token, value)
  if #value > INLINE then return nil end
  local r = load(h, f.rid)
  if not r or not r.is_simple then return nil end
  local said = hop.record(h, r.sha, f.step)
  local followers = said[1]
  if followers == 0 then return nil end
  local job = redis.pcall('HMGET', keys.job(h.base, id), 'lease_token', 'gid')
  local gid = job[2]
  if job[1] ~= token or not gid or gid == '' then return nil end
  local names = {f.id}
  for i = 1, #followers do names[i + 1] = followers[i][1] end
  local facts = redis.pcall('HMGET', h.states .. f.rid, unpack(names))
  if not waits_for(facts[1], f.epoch) then return nil end
  for i = 2, #names do
    if facts[i] then return nil end
  end
  local g = group.of(h, gid)
  return g.has_limit and {id = id, f = f, r = r, group = g, token = token, value = '=' .. value, followers = followers, list = said[3]} or nil
end

-- Reads those of a beat's items (n, six arguments each from `first` on) that are simple: `items`, by their number. is_leased: by
-- id, of all that are reported.
function hop.read(h, argv, first, n, is_leased)
  local items, others, seen = {}, {}, {}
  for i = 1, n do
    local at = first + (i - 1) * 6
    local id = argv[at]
    local f, token = keys.parse(id), argv[at + 1]
    if is_leased[id] and not seen[id] and token ~= '' and argv[at + 2] == 'ok' then
      if f then items[i] = simple(h, f, id, token, argv[at + 4]) else items[i] = plain(h, id, token) end
    end
    if f and not items[i] then others[f.rid] = true end
    seen[id] = true
  end
  local lists = {}
  for _, item in pairs(items) do
    if item.list then lists[item.r] = true end
  end
  for r in pairs(lists) do
    local own = {}
    for i = 1, n do
      if items[i] and items[i].r == r then own[#own + 1] = items[i] end
    end
    if not members.read(h, r, own) then others[r.rid] = true end
  end
  for rid in pairs(others) do h.runs[rid] = false end
  for i, item in pairs(items) do
    if item.f and others[item.f.rid] then items[i] = nil end
  end
  h.items = items
  return h
end

-- The fact of a step run that follows.
function hop.fact(item)
  local epoch = item.f.epoch
  return 'Q' .. item.r.epoch .. (tonumber(epoch) > 1 and '^' .. epoch or '')
end

-- An item that `read` gave.
function hop.settle(h, item)
  local r, followers = item.r, item.followers
  h.ended[#h.ended + 1] = item
  if not r then return end
  if not r.items then
    r.items, r.before = {}, {}
    h.touched[#h.touched + 1] = r
  end
  r.items[#r.items + 1] = item
  for i = 1, #followers do
    local follower = followers[i]
    local c = follower[1]
    r.before[c] = item
    h.jobs[#h.jobs + 1] = {
      id = 'f.' .. r.rid .. '.' .. c .. '.' .. r.epoch, payload = '{"run":"' .. r.rid .. '","id":"' .. c .. '","epoch":' .. r.epoch .. '}',
      attempts = follower[2], lease = follower[3], backoff = follower[4], gid = item.group.gid, group = item.group,
      sha = r.sha, fact = hop.fact(item),
    }
  end
  r.open = r.open + #followers - 1
end

-- A key is what it should be: the cheapest command that its type allows tells.
local function is_sound(command, kind, key)
  if type(redis.pcall(command, key)) == 'table' then types.check({key, kind}) end
end

-- After the last item: who has no job left is over. Raises before the first write if a key has another type.
function hop.check(h)
  for _, r in ipairs(h.touched) do
    is_sound('HLEN', 'hash', h.outputs .. r.rid)
    is_sound('HLEN', 'hash', h.tokens .. r.rid)
    is_sound('HLEN', 'hash', h.tallies .. r.rid)
    is_sound('LLEN', 'list', h.history .. r.rid)
    if r.collections then members.check(h, r) end
    if r.open == 0 then
      types.check({keys.ended(h.base), 'zset'})
      local have = redis.call('HMGET', h.header .. r.rid, 'gen', 'retention')
      r.state, r.gid, r.keys = 'succeeded', r.items[1].group.gid, run_keys.of(h.base, r.rid, have[1] or '0')
      r.retention = num.read(have[2])
    end
  end
end

-- An item's part of its run; returns the revision after it. It was the only step run of its step, and those that follow are the
-- first of theirs.
local function write(h, r, item, at, rev, lines)
  local rid, f, followers = r.rid, item.f, item.followers
  local step, epoch, states, tallies, fact = f.step, f.epoch, h.states .. rid, h.tallies .. rid, hop.fact(item)
  redis.call('HSET', h.outputs .. rid, step, item.value)
  redis.call('HSET', h.tokens .. rid, step .. '.' .. epoch, run_keys.mark(item.token))
  local event = '|' .. at .. '|'
  lines[#lines + 1] = rev + 1 .. event .. 'D ' .. step .. ' ' .. epoch
  local c = followers[1] and followers[1][1]
  if c then
    redis.call('HSET', states, step, 'D' .. epoch, c, fact)
    redis.call('HSET', tallies, step .. ':Q', '0', step .. ':D', '1', step .. ':e', at, c .. ':Q', '1', c .. ':b', at)
  else
    redis.call('HSET', states, step, 'D' .. epoch)
    redis.call('HSET', tallies, step .. ':Q', '0', step .. ':D', '1', step .. ':e', at)
  end
  for i = 1, #followers do
    c = followers[i][1]
    if i > 1 then
      redis.call('HSET', states, c, fact)
      redis.call('HSET', tallies, c .. ':Q', '1', c .. ':b', at)
    end
    lines[#lines + 1] = rev + 1 + i .. event .. 'Q ' .. c .. ' ' .. r.epoch
  end
  return rev + 1 + #followers
end

-- Writes the runs; jobs and lanes are written by `queue.settle`.
function hop.write(h)
  local at = num.text(h.now)
  for _, r in ipairs(h.touched) do
    local rid, rev, lines = r.rid, r.rev, {}
    if r.collections then members.write(h, r, at) end
    for _, item in ipairs(r.items) do
      if item.list then
        rev = rev + 1
        lines[#lines + 1] = rev .. '|' .. at .. '|D ' .. item.f.id .. ' ' .. item.f.epoch
      else
        rev = write(h, r, item, at, rev, lines)
      end
    end
    local header, open = h.header .. rid, num.text(r.open)
    if r.state then
      rev = rev + 1
      lines[#lines + 1] = rev .. '|' .. at .. '|run ' .. r.state
      redis.call('HSET', header, 'rev', rev, 'open', open, 'state', r.state, 'ended_ms', at)
    else
      redis.call('HSET', header, 'rev', rev, 'open', open)
    end
    history.push(h.history .. rid, h.tallies .. rid, at, rev, lines)
    if r.state then ending.write(h, r) end
  end
end

-- Whether the jobs of a group may begin as far as its run is concerned; false if that is not known here.
function hop.is_open(h, gid)
  return load(h, gid)
end

-- What an item of this call says of a step run that follows: its fact, and the output before it if that is the only input.
local function told_before(r, id, wanted)
  local item = r.before and r.before[id]
  if item then return hop.fact(item), #wanted == 1 and wanted[1] == item.f.step and item.value end
end

-- An element of a list that is outside of all others; nil if it cannot be read.
local function element(h, r, list, x)
  r.lists = r.lists or {}
  local epoch = r.lists[list]
  if not epoch then
    epoch = string.match(redis.call('HGET', h.states .. r.rid, list) or '', '^D(%d+)')
    r.lists[list] = epoch
  end
  local value = epoch and redis.call('HGET', run_keys.value(h.base, r.rid, list, epoch), string.sub(x, 2))
  return value and '=' .. value
end

local function inputs_of(h, r, f, wanted)
  local given, ids, at = {}, {}, {}
  for i, input in ipairs(wanted) do
    if type(input) == 'table' then
      given[i] = element(h, r, input[1], f.x)
    else
      ids[#ids + 1], at[#at + 1] = input, i
    end
  end
  if #ids > 0 then
    for k, value in ipairs(redis.call('HMGET', h.outputs .. f.rid, unpack(ids))) do given[at[k]] = value end
  end
  return given
end

local function begin(h, f)
  local r = load(h, f.rid)
  local wanted = r and hop.record(h, r.sha, f.step)[2] or 0
  if wanted == 0 then return nil end
  local fact, value = told_before(r, f.id, wanted)
  if not fact then fact = redis.call('HGET', h.states .. f.rid, f.id) end
  if not waits_for(fact, f.epoch) then return nil end
  local inputs, room, size = {value}, h.room, 0
  if room.bytes <= 0 then
    for i = 1, #wanted do inputs[i] = '?' end
    return r.sha, fact, inputs
  end
  if not value then inputs = inputs_of(h, r, f, wanted) end
  for i = 1, #wanted do
    if not inputs[i] then return nil end
    size = size + #inputs[i]
  end
  room.bytes = room.bytes - size
  return r.sha, fact, inputs
end

-- The plan, the fact and the inputs of a step run whose job was popped; nil if it is not simple. Nothing here may stop the call.
function hop.begin(h, f)
  local is_read, sha, fact, inputs = pcall(begin, h, f)
  if is_read then return sha, fact, inputs end
end

return hop
