--[[
  What a queue does again and again, written straight: plain jobs are published, due at once and in no group; an idle worker
  takes plain jobs. `queue` and `take` do the same for all cases, and here is only what makes these two short.
  Everything is checked before the first write.
]]
--- @include "num"
--- @include "types"
--- @include "keys"
--- @include "record"
--- @include "order"
local straight = {}

-- New jobs, at most 256, to the end of the waiting list. job(n): payload, attempts, lease and backoff of the n-th, asked once each.
function straight.enqueue(base, now, ids, job)
  local wait, index, stats, at = base .. ':wait', base .. ':idx:wait', base .. ':stats', num.text(now)
  types.check({wait, 'list', index, 'zset'})
  local have, entries = types.read('hash', 'HMGET', stats, 'waiting', 'waiting_total'), {}
  for n, id in ipairs(ids) do
    redis.call('HSET', keys.job(base, id), unpack(record.fresh(id, job(n), at)))
    entries[2 * n - 1], entries[2 * n] = at, id
  end
  redis.call('RPUSH', wait, unpack(ids))
  redis.call('ZADD', index, unpack(entries))
  redis.call(
    'HSET', stats, 'waiting', num.text(num.read(have[1]) + #ids), 'waiting_total', num.text(num.read(have[2]) + #ids),
    'last_activity_ms', at, 'last_enqueue_ms', at
  )
end

-- Up to `most` (64) of the jobs that wait in no group, read: none if nothing can be taken, nil unless they are the next, there,
-- and plain jobs all.
function straight.next(base, most)
  local lanes = redis.call('EXISTS', base .. ':wait', base .. ':groups:ready')
  if lanes == 0 or redis.call('EXISTS', base .. ':paused') == 1 then return {} end
  local jobs = lanes == 1 and types.read('list', 'LRANGE', base .. ':wait', 0, most - 1) or {}
  if #jobs == 0 then return nil end
  for i, id in ipairs(jobs) do
    local job = not keys.parse(id) and record.read(base, id)
    if not job then return nil end
    jobs[i] = job
  end
  return jobs
end

-- What `take` is going to change, read; raises if a key has another type.
function straight.read(base)
  types.check({base .. ':active', 'zset', base .. ':idx:active', 'zset', base .. ':idx:wait', 'zset'})
  local turn, seq = order.read(base)
  local have = types.read('hash', 'HMGET', base .. ':stats', 'waiting', 'waiting_total', 'active')
  return {turn = turn, seq = seq, waiting = num.read(have[1]), waiting_total = num.read(have[2]), active = num.read(have[3])}
end

-- Leases the jobs that `next` gave, at least one; `was` as `read` gives it. The turn passes with each, as it does in `take`.
function straight.take(base, now, jobs, was, salt, worker)
  local n, at = #jobs, num.text(now)
  local leases, starts, ids = {}, {}, {}
  redis.call('LPOP', base .. ':wait', n)
  for i, job in ipairs(jobs) do
    redis.call('HSET', keys.job(base, job.id), unpack(record.lease(job, now, was.seq + i, salt, worker)))
    leases[2 * i - 1], leases[2 * i] = job.until_ms, job.id
    starts[2 * i - 1], starts[2 * i] = at, job.id
    ids[i] = job.id
  end
  redis.call('ZADD', base .. ':active', unpack(leases))
  redis.call('ZREM', base .. ':idx:wait', unpack(ids))
  redis.call('ZADD', base .. ':idx:active', unpack(starts))
  if n % 2 == 1 then redis.call('SET', base .. ':lane:rr', was.turn and was.turn ~= '0' and '0' or '1') end
  redis.call('INCRBY', base .. ':lease:seq', n)
  redis.call(
    'HSET', base .. ':stats', 'waiting', num.text(math.max(was.waiting - n, 0)), 'waiting_total', num.text(math.max(was.waiting_total - n, 0)),
    'active', num.text(was.active + n), 'last_activity_ms', at, 'last_reserve_ms', at
  )
end

return straight
