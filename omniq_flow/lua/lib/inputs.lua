--[[
  What a taken step run is handed: the values of its inputs, inline as long as the call's budget of bytes lasts.

  Each value is raw: `=json`, `@epoch` (in a key of its own), `#epoch:n` (a list stored per element), `!failure`,
  `~letter` (there is no value: the producer was skipped, or an upstream failed), `?` (read it yourself).
  A gather gives a table of such values, in input order; `~letter` alone says that there was no list. The job is popped by
  now, so nothing here stops on a key of another type: the worker finds it when it reads, and fails that one step run.
]]
--- @include "num"
--- @include "run_keys"
--- @include "run"
local inputs = {}

local GATHER = 256

local function absent(r, id)
  local fact = run.fact(r, id)
  return '~' .. (fact and string.sub(fact, 1, 1) or 'P')
end

-- What this call decided itself is in memory still.
local function known(r, ids)
  local raw = {}
  for i, id in ipairs(ids) do
    raw[i] = r.out[id]
    if not raw[i] then return nil end
  end
  return raw
end

local function values(ctx, r, ids)
  local raw = known(r, ids) or redis.pcall('HMGET', r.keys.outputs, unpack(ids))
  local is_unread = raw.err
  if is_unread then raw = {} end
  for i, id in ipairs(ids) do
    if is_unread then
      raw[i] = '?'
    elseif raw[i] then
      ctx.room.bytes = ctx.room.bytes - #raw[i]
    else
      raw[i] = absent(r, id)
    end
  end
  return raw
end

local function element(ctx, r, list, index)
  local epoch = list.epoch
  if not epoch then
    epoch = string.match(run.fact(r, list.id) or '', '^D(%d+)')
    list.epoch = epoch
  end
  local value = epoch and redis.pcall('HGET', run_keys.value(ctx.base, r.rid, list.id, epoch), index)
  if not value then return '~P' end
  if value.err then return '?' end
  ctx.room.bytes = ctx.room.bytes - #value
  return '=' .. value
end

local function gather(ctx, r, entry, x)
  local step, depth, up, list = entry[2], entry[3], entry[4], entry[5]
  local y = run.cut(x, depth - 1)
  local fact = run.fact(r, list .. y)
  if up ~= 1 then return '?' end
  if not fact or string.sub(fact, 1, 1) ~= 'D' then return absent(r, list .. y) end
  local n = num.read(string.match(fact, ':(%d+)'))
  if n > GATHER then return '?' end
  if n == 0 then return {} end
  local ids = {}
  for i = 1, n do ids[i] = step .. y .. '-' .. (i - 1) end
  local raw = values(ctx, r, ids)
  -- A list that is larger than what is left of the call's bytes is read by the worker in slices.
  return ctx.room.bytes >= 0 and raw or '?'
end

-- All inputs of a step run, in the order of the plan.
function inputs.read(ctx, r, step, x)
  local out, record = {}, run.step(ctx, r, step)
  local wanted, at = {}, {}
  for i, entry in ipairs(record['in'] or {}) do
    local kind = entry[1]
    out[i] = '?'
    if ctx.room.bytes > 0 then
      if kind == 'i' then
        wanted[#wanted + 1], at[#at + 1] = ':input', i
      elseif kind == 'r' then
        wanted[#wanted + 1], at[#at + 1] = entry[2] .. run.cut(x, entry[3]), i
      elseif kind == 'e' then
        local y = run.cut(x, entry[3])
        local id = entry[2] .. y
        ctx.lists[r.rid .. id] = ctx.lists[r.rid .. id] or {id = id}
        out[i] = element(ctx, r, ctx.lists[r.rid .. id], string.match(string.sub(x, #y + 2), '^%d+'))
      else
        out[i] = gather(ctx, r, entry, x)
      end
    end
  end
  if #wanted > 0 then
    for k, value in ipairs(values(ctx, r, wanted)) do out[at[k]] = value end
  end
  return out
end

return inputs
