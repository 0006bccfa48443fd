--[[
  Elements of an outermost list that succeed and do nothing but count for those who gather them, the short way (`hop`): all
  of a call at once. The last of a list goes the long way, since much may follow from it.
]]
--- @include "num"
--- @include "counter"
--- @include "many"
--- @include "run_keys"
local members = {}

-- items: those of the run `r`, of any kind. False if one of them is not that simple. What was read of the collections is kept in
-- `r.collections`, by step.
function members.read(h, r, items)
  local found, derived = {}, run_keys.of(h.base, r.rid, redis.call('HGET', h.header .. r.rid, 'gen') or '0')
  for _, item in ipairs(items) do
    local step = item.f.step
    local c = item.list and found[step]
    if item.list and not c then
      local record = redis.pcall('HGET', derived.gates, 'of:' .. step)
      local size, left, failed, skipped, stamp = string.match(type(record) == 'string' and record or '', '^(%d+)|(%d+)|(%d+)|(%d+)|(%d+)$')
      if not size then return false end
      c = {
        keys = derived, list = item.list, size = size, left = tonumber(left), failed = failed, skipped = skipped, stamp = tonumber(stamp), items = {},
      }
      found[step] = c
    end
    if c then
      c.items[#c.items + 1] = item
      if #c.items >= c.left then return false end
    end
  end
  r.collections = found
  return true
end

-- Before the first write: the tallies as they are going to be. Steps of one list share its count of open jobs.
function members.check(h, r)
  local sums = {}
  for step, c in pairs(r.collections) do
    for field, delta in pairs({[step .. ':Q'] = -#c.items, [step .. ':D'] = #c.items, [c.list .. ':i'] = -#c.items}) do
      sums[field] = (sums[field] or 0) + delta
    end
  end
  local fields, args = {}, {}
  for field in pairs(sums) do fields[#fields + 1] = field end
  for i, have in ipairs(redis.call('HMGET', h.tallies .. r.rid, unpack(fields))) do
    args[2 * i - 1], args[2 * i] = fields[i], num.text(num.read(have) + sums[fields[i]])
  end
  r.sums = args
end

-- Facts, outputs and counts of all of them.
function members.write(h, r, at)
  local rid = r.rid
  redis.call('HSET', h.tallies .. rid, unpack(r.sums))
  for step, c in pairs(r.collections) do
    local states, outputs, tokens, indices, stamp = {}, {}, {}, {}, c.stamp
    for i, item in ipairs(c.items) do
      local id, epoch = item.f.id, item.f.epoch
      states[2 * i - 1], states[2 * i] = id, 'D' .. epoch
      outputs[2 * i - 1], outputs[2 * i] = id, item.value
      tokens[2 * i - 1], tokens[2 * i] = id .. '.' .. epoch, run_keys.mark(item.token)
      indices[i] = string.sub(item.f.x, 2)
      stamp = math.max(stamp, tonumber(epoch))
    end
    many.call('HSET', h.states .. rid, states)
    many.call('HSET', h.outputs .. rid, outputs)
    many.call('HSET', h.tokens .. rid, tokens)
    redis.call('HSET', h.tallies .. rid, step .. ':e', at)
    local record = c.size .. '|' .. num.text(c.left - #c.items) .. '|' .. c.failed .. '|' .. c.skipped .. '|' .. num.text(stamp)
    redis.call('HSET', c.keys.gates, 'of:' .. step, record)
    -- The record decides, the counter shows it to others: what somebody put in its place must not stop the run.
    pcall(counter.report, c.keys.counters .. 'of:' .. step, indices)
  end
end

return members
