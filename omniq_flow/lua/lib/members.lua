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

-- Before the first write: the tallies as they are going to be.
function members.check(h, r)
  for step, c in pairs(r.collections) do
    local have = redis.call('HMGET', h.tallies .. r.rid, step .. ':Q', step .. ':D', c.list .. ':i')
    local n = #c.items
    c.queued, c.done, c.inside = num.text(num.read(have[1]) - n), num.text(num.read(have[2]) + n), num.text(num.read(have[3]) - n)
  end
end

-- Facts, outputs and counts of all of them.
function members.write(h, r, at)
  local rid = r.rid
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
    redis.call('HSET', h.tallies .. rid, step .. ':Q', c.queued, step .. ':D', c.done, c.list .. ':i', c.inside, step .. ':e', at)
    local record = c.size .. '|' .. num.text(c.left - #c.items) .. '|' .. c.failed .. '|' .. c.skipped .. '|' .. num.text(stamp)
    redis.call('HSET', c.keys.gates, 'of:' .. step, record)
    -- The record decides, the counter shows it to others: what somebody put in its place must not stop the run.
    pcall(counter.report, c.keys.counters .. 'of:' .. step, indices)
  end
end

return members
