--[[
  Beats that do one thing only, written straight; they leave what `queue` and `take` would have left. One reports nothing but
  simple steps (`hop`) to a queue where nothing waits: what follows is leased at once and never stands in a lane. Another reports
  nothing but plain jobs and takes such (`straight`). All is read and checked before the first write.
]]
--- @include "num"
--- @include "keys"
--- @include "types"
--- @include "many"
--- @include "record"
--- @include "order"
--- @include "straight"
--- @include "hop"
local direct = {}

-- The inputs of a step run that follows, nil if they are not simple: it waited for one step run, the others are the run's input.
local function inputs(h, item, c)
  local wanted, given = hop.record(h, item.r.sha, c)[2], {}
  if wanted == 0 then return nil end
  for i, id in ipairs(wanted) do
    given[i] = id == item.f.step and item.value or redis.call('HGET', h.outputs .. item.f.rid, id)
    if not given[i] then return nil end
  end
  return given
end

-- Whether the jobs that follow can all be leased at once, and are taken in a known order: several of one item, or one of each item,
-- in a group of its own.
local function can_follow(items, n, most)
  local seen, total = {}, 0
  for i = 1, n do
    local item = items[i]
    local g, followers = item and item.group, item and #item.followers
    if not item or followers == 0 or n > 1 and followers > 1 then return false end
    if seen[g] or seen[item.r] or g.waiting > 0 or math.max(g.inflight - 1, 0) + followers > g.limit then return false end
    seen[g], seen[item.r], total = true, true, total + followers
  end
  return total <= most
end

-- Groups that became ready at the same time are served by name.
local function by_group(a, b)
  return a.gid < b.gid
end

-- Settles the items that `hop.read` read (n were reported) and gives the jobs that follow, at most `most`, with what they are
-- handed; nil, and nothing is settled, if not all is that simple.
function direct.plan(h, n, most)
  local base, items, given, bytes = h.base, h.items, {}, 0
  if not can_follow(items, n, most) or redis.call('EXISTS', base .. ':wait', base .. ':groups:ready', base .. ':paused') > 0 then return nil end
  for _, item in ipairs(items) do
    for _, follower in ipairs(item.followers) do
      local values = inputs(h, item, follower[1])
      if not values then return nil end
      for _, value in ipairs(values) do bytes = bytes + #value end
      given[#given + 1] = values
    end
  end
  if bytes > h.room.bytes then return nil end
  for _, item in ipairs(items) do hop.settle(h, item) end
  for i, job in ipairs(h.jobs) do job.inputs = given[i] end
  if n > 1 then table.sort(h.jobs, by_group) end
  return h.jobs
end

local function complete(h, at)
  local base, ids, times = h.base, {}, {}
  local index = base .. ':idx:completed'
  for i, item in ipairs(h.ended) do
    local id, g = item.id, item.group
    redis.call('HSET', keys.job(base, id), 'state', 'completed', 'updated_ms', at, 'lease_token', '', 'lock_until_ms', '', 'completed_ms', at)
    ids[i], times[2 * i - 1], times[2 * i] = id, at, id
    if g then
      g.before, g.inflight = g.inflight, math.max(g.inflight - 1, 0)
    end
  end
  redis.call('ZREM', base .. ':active', unpack(ids))
  redis.call('ZREM', base .. ':idx:active', unpack(ids))
  redis.call('ZADD', index, unpack(times))
  local kept, old, dead = record.trim(base, redis.call('LPUSH', base .. ':completed', unpack(ids)))
  many.call('ZREM', index, old)
  many.unlink(dead)
  return kept
end

-- Raises if what `complete` is going to write has another type.
local function check(base)
  types.read('zset', 'ZCARD', base .. ':idx:active')
  types.read('zset', 'ZCARD', base .. ':idx:completed')
  types.read('list', 'LLEN', base .. ':completed')
end

-- Writes what was planned; each job has its lease then. salt and worker as `record.lease` has them.
function direct.write(h, salt, worker)
  local base, now, at, stats, jobs = h.base, h.now, num.text(h.now), h.base .. ':stats', h.jobs
  check(base)
  local turn, seq = order.read(base)
  local active = num.read(types.read('hash', 'HMGET', stats, 'active')[1])
  hop.check(h)
  hop.write(h)
  local kept, leases, times = complete(h, at), {}, {}
  for i, job in ipairs(jobs) do
    local g, id = job.group, job.id
    job.lease = record.made(id, job, record.fresh(id, job, at))
    redis.call('HSET', keys.job(base, id), unpack(record.lease(job.lease, now, seq + i, salt, worker)))
    leases[2 * i - 1], leases[2 * i], times[2 * i - 1], times[2 * i] = job.lease.until_ms, id, at, id
    g.inflight = g.inflight + 1
  end
  for _, item in ipairs(h.ended) do
    local g = item.group
    if g.inflight ~= g.before then redis.call('SET', g.prefix .. ':inflight', num.text(g.inflight)) end
  end
  redis.call('ZADD', base .. ':active', unpack(leases))
  redis.call('ZADD', base .. ':idx:active', unpack(times))
  if #jobs % 2 == 1 then redis.call('SET', base .. ':lane:rr', turn and turn ~= '0' and '0' or '1') end
  redis.call('INCRBY', base .. ':lease:seq', #jobs)
  redis.call(
    'HSET', stats, 'active', num.text(math.max(active - #h.ended, 0) + #jobs), 'completed_kept', num.text(kept), 'last_activity_ms', at,
    'last_enqueue_ms', at, 'last_finish_ms', at, 'last_reserve_ms', at
  )
end

-- The plain jobs that can be taken as the n items are reported, at most `most`; nil unless all of these are plain jobs as well, and
-- in no group.
function direct.next(h, n, most)
  for i = 1, n do
    local item = h.items[i]
    if not item or item.f or item.group then return nil end
  end
  return most == 0 and {} or straight.next(h.base, most)
end

-- Settles the items, and leases the jobs that `next` gave.
function direct.exchange(h, jobs, salt, worker)
  local base, at = h.base, num.text(h.now)
  check(base)
  local was = straight.read(base)
  for _, item in ipairs(h.items) do hop.settle(h, item) end
  local kept = complete(h, at)
  was.active = math.max(was.active - #h.ended, 0)
  redis.call(
    'HSET', base .. ':stats', 'active', num.text(was.active), 'completed_kept', num.text(kept), 'last_activity_ms', at, 'last_finish_ms', at
  )
  if #jobs > 0 then straight.take(base, h.now, jobs, was, salt, worker) end
end

return direct
