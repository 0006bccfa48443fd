--[[
  Carrying results of one run over to another of the same plan, a bounded piece a call (`run_rerun`): the facts of some
  steps, with their outputs and values. Their step runs are gone through in order, elements by the lengths of their lists,
  so a place – the number of a step and the suffix of an element – says where to go on, whatever became of the server.

  Everything is read first; `carry.write` writes it. Only values come before their facts, and a list that is longer than
  a call goes on where its copy ends.
]]
--- @include "num"
--- @include "many"
--- @include "run_keys"
--- @include "run"
local carry = {}

local BYTES, INLINE = 4194304, 65536

-- limit: about so many step runs and list elements.
function carry.open(ctx, source, rid, limit)
  return {
    ctx = ctx, source = source, rid = rid, keys = run_keys.of(ctx.base, rid, '0'), left = limit, bytes = BYTES, found = 0,
    states = {}, outputs = {}, tokens = {}, big = {}, values = {}, tallies = {},
  }
end

local function places(c, id, epoch)
  return run_keys.value(c.ctx.base, c.source.rid, id, epoch), run_keys.value(c.ctx.base, c.rid, id, epoch)
end

local function add(c, id, epoch, value)
  c.values[#c.values + 1] = value
  c.big[#c.big + 1] = id .. ':' .. epoch
end

-- The rest of a list, or as much as is left: whether that was all; nil if an element is gone.
local function list(c, id, epoch, n)
  local from, to = places(c, id, epoch)
  local first = redis.call('HLEN', to)
  local last = math.min(n, first + math.max(c.left, 1))
  local names, fields = {}, {}
  for i = first, last - 1 do names[#names + 1] = num.text(i) end
  for i, element in ipairs(#names > 0 and redis.call('HMGET', from, unpack(names)) or {}) do
    if not element then return nil end
    fields[2 * i - 1], fields[2 * i] = names[i], element
    c.bytes = c.bytes - #element
  end
  add(c, id, epoch, {to = to, fields = fields})
  c.left = c.left - #names
  return last == n
end

-- A value in a key of its own: whether it is there.
local function whole(c, id, epoch)
  local from, to = places(c, id, epoch)
  local size = redis.call('STRLEN', from)
  c.bytes = c.bytes - size
  add(c, id, epoch, {to = to, from = from})
  return size > 0
end

-- The output of a step run that succeeded: true, false if its list goes on with the next call, nil if it is gone.
local function output(c, id, epoch, length)
  local out = redis.call('HGET', c.source.keys.outputs, id)
  local kind = out and string.sub(out, 1, 1)
  local is_done
  if kind == '#' then
    is_done = length == 0 or list(c, id, epoch, length)
  elseif kind == '@' then
    is_done = whole(c, id, epoch) or nil
  elseif kind == '=' then
    is_done = true
  end
  if is_done then
    c.bytes = c.bytes - #out
    c.outputs[#c.outputs + 1], c.outputs[#c.outputs + 2] = id, out
  end
  return is_done
end

-- One step run, as `output` answers. What did not come from a handler that ended well is left to the new run.
local function step_run(c, step, id)
  c.left = c.left - 1
  local fact = run.fact(c.source, id)
  local letter, epoch, length = string.match(fact or '', '^(%a)(%d+):?(%d*)')
  if (letter ~= 'D' and letter ~= 'S') or epoch == '0' then return true end
  local is_done = letter == 'S'
  if not is_done then is_done = output(c, id, epoch, num.read(length)) end
  if is_done then
    c.states[#c.states + 1], c.states[#c.states + 2] = id, fact
    -- No lease of the new run reported it.
    c.tokens[#c.tokens + 1], c.tokens[#c.tokens + 2] = id .. '.' .. epoch, 'copied'
    c.tallies[step .. ':' .. letter] = (c.tallies[step .. ':' .. letter] or 0) + 1
    c.found = c.found + 1
  end
  return is_done
end

local function suffix(x, n)
  return n > 0 and '-' .. table.concat(x, '-', 1, n) or ''
end

-- From a place on the first element whose lists are all long enough: true, false if there is none, nil if looking for it
-- has to go on with the next call.
local function find(c, level, x)
  local k = 1
  while k <= #level do
    if c.left <= 0 then return nil end
    local length = string.match(run.fact(c.source, level[k] .. suffix(x, k - 1)) or '', '^D%d+:(%d+)')
    if x[k] < num.read(length) then
      k = k + 1
    else
      if k == 1 then return false end
      for i = k, #level do x[i] = 0 end
      x[k - 1] = x[k - 1] + 1
      k, c.left = k - 1, c.left - 1
    end
  end
  return true
end

-- The input: another one (text), or that of the source (false). Gives what is gone, as `carry.some`.
function carry.input(c, text)
  local out, to = nil, run_keys.value(c.ctx.base, c.rid, ':input', '0')
  if not text then
    out = redis.call('HGET', c.source.keys.outputs, ':input')
    if not out or out == '@0' and not whole(c, ':input', '0') then return ':input' end
  elseif #text > INLINE then
    out = '@0'
    add(c, ':input', '0', {to = to, text = text})
  else
    out = '=' .. text
  end
  c.outputs[#c.outputs + 1], c.outputs[#c.outputs + 2] = ':input', out
end

-- Goes on with the steps `keep` from a place {step, at, copied}, and moves it; gives the id of an output that is gone.
function carry.some(c, keep, place)
  while place.step <= #keep and c.left > 0 and c.bytes > 0 do
    local step, x = keep[place.step], {}
    local level = run.step(c.ctx, c.source, step).l
    for i in string.gmatch(place.at, '%d+') do x[#x + 1] = tonumber(i) end
    for i = #x + 1, #level do x[i] = 0 end
    local is_there = find(c, level, x)
    while is_there and c.left > 0 and c.bytes > 0 do
      local is_done = step_run(c, step, step .. suffix(x, #x))
      if is_done == nil then return step .. suffix(x, #x) end
      if not is_done then break end
      if #level == 0 then
        is_there = false
      else
        x[#x] = x[#x] + 1
        is_there = find(c, level, x)
      end
    end
    place.at = suffix(x, #x)
    if is_there == false then place.step, place.at = place.step + 1, '' end
  end
  place.copied = place.copied + c.found
end

function carry.write(c)
  for _, value in ipairs(c.values) do
    if value.fields then
      many.call('HSET', value.to, value.fields)
    elseif value.text then
      redis.call('SET', value.to, value.text)
    else
      redis.call('COPY', value.from, value.to, 'REPLACE')
    end
  end
  many.call('SADD', c.keys.big, c.big)
  many.call('HSET', c.keys.outputs, c.outputs)
  many.call('HSET', c.keys.states, c.states)
  many.call('HSET', c.keys.tokens, c.tokens)
  for field, n in pairs(c.tallies) do redis.call('HINCRBY', c.keys.tallies, field, n) end
end

return carry
