--[[
  Taking jobs (wire §7, reserve): groups and plain jobs take turns, groups in the order they became ready.
  Ids without a hash are passed over and take no slot (D9). Comes after `queue.settle`, before `queue.flush`.
]]
--- @include "types"
--- @include "keys"
--- @include "record"
--- @include "order"
--- @include "stats"
--- @include "queue"
local take = {}
local GROUP_POPS, GHOSTS = 10, 10
local COUNTERS = {'waiting', 'group_waiting', 'waiting_total', 'active', 'groups_ready'}

-- Raises if a key that `take` is going to write is damaged; reads what waits, whose turn it is, and the counters.
function take.check(q)
  local b = q.base
  q.n_wait = types.read('list', 'LLEN', b .. ':wait')
  q.may_be_ready = types.read('zset', 'ZCARD', b .. ':groups:ready') > 0
  q.turn, q.seq = order.read(b)
  types.check({b .. ':active', 'zset', b .. ':idx:active', 'zset', b .. ':idx:wait', 'zset'})
  stats.read(q.stats, COUNTERS)
end

-- The same for the groups that may be served.
function take.check_groups(q)
  for _, gid in ipairs(redis.call('ZRANGE', q.base .. ':groups:ready', 0, GROUP_POPS - 1)) do queue.group(q, gid) end
end

-- nil if the queue is paused. is_held(gid): whether a group is passed over, and ready no more until somebody makes it so.
function take.open(q, behind, is_held)
  if redis.call('EXISTS', q.base .. ':paused') == 1 then return nil end
  return {turn = q.turn, seq = q.seq, leased = 0, tokens = 0, ghosts = 0, behind = behind or 0, is_held = is_held}
end

local function read_job(q, id)
  local made = q.made[id]
  return made and record.made(id, made, q.hashes[id]) or record.read(q.base, id)
end

-- A queued id whose job is gone; counted out of the lane like one that was taken.
local function leave_wait(q, id, field)
  if q.made[id] then
    q.index.wait[id] = nil
  else
    queue.index(q, 'wait', id)
  end
  queue.count(q, field, -1)
  queue.count(q, 'waiting_total', -1)
end

local function from_wait(q, t)
  while q.n_wait > 0 and t.ghosts < GHOSTS do
    local id = redis.call('LPOP', q.base .. ':wait')
    if not id then return nil end
    q.n_wait = q.n_wait - 1
    leave_wait(q, id, 'waiting')
    local job = read_job(q, id)
    if job then return job end
    t.ghosts = t.ghosts + 1
  end
end

local function from_group(q, t, g)
  while t.ghosts < GHOSTS do
    local id = redis.call('LPOP', g.prefix .. ':wait')
    if not id then return nil end
    if g.waiting then g.waiting = g.waiting - 1 end
    leave_wait(q, id, 'group_waiting')
    local job = read_job(q, id)
    if job then
      g.inflight, g.is_dirty = g.inflight + 1, true
      return job
    end
    t.ghosts = t.ghosts + 1
  end
end

-- A group with a key of another type is passed over: it must not stop the others half-way.
local function sound_group(q, gid)
  local is_sound, g = pcall(queue.group, q, gid)
  return is_sound and g
end

-- A full group is left out: the slot that frees next makes it ready again (Q19).
local function from_groups(q, t)
  for _ = 1, GROUP_POPS do
    local gid = q.may_be_ready and redis.call('ZPOPMIN', q.base .. ':groups:ready')[1]
    if not gid then
      q.may_be_ready = false
      return nil
    end
    queue.count(q, 'groups_ready', -1)
    local g = not (t.is_held and t.is_held(gid)) and sound_group(q, gid)
    if g and g.inflight < g.limit then
      local job = from_group(q, t, g)
      if g.inflight < g.limit and queue.count_waiting(g) > 0 then
        -- Who was served goes behind those who were not, within one ms too: equal scores are ordered by name. OmniQ's own
        -- operation (behind = 0) writes whole numbers.
        queue.make_ready(q, gid, q.now + t.behind / 1024)
        t.behind = t.behind + 1
      end
      if job then return job, g end
    end
  end
end

-- The next job, popped from its lane and not yet leased; nil if there is none.
function take.next(q, t)
  local first, second = from_groups, from_wait
  if t.turn and t.turn ~= '0' then first, second = from_wait, from_groups end
  local job = first(q, t) or second(q, t)
  if job then t.turn = (t.turn and t.turn ~= '0') and '0' or '1' end
  return job
end

-- Leases a popped job; salt and worker as `record.lease` has them.
function take.lease(q, t, job, salt, worker)
  t.seq, t.tokens = t.seq + 1, t.tokens + 1
  redis.call('HSET', keys.job(q.base, job.id), unpack(record.lease(job, q.now, t.seq, salt, worker)))
  q.hashes[job.id], q.made[job.id] = nil, nil
  q.active[job.id] = job.until_ms
  queue.index(q, 'active', job.id, q.now)
  queue.count(q, 'active', 1)
  queue.stamp(q, 'last_activity_ms')
  queue.stamp(q, 'last_reserve_ms')
  t.leased = t.leased + 1
  q.offered = q.offered - 1
end

-- A popped job that is of no use any more: it completes without a lease.
function take.discard(q, t, job)
  if job.gid ~= '' then queue.release_slot(q, job.gid) end
  queue.complete(q, job.id)
  queue.stamp(q, 'last_activity_ms')
  t.leased = t.leased + 1
end

-- A popped job that may not begin now: it is delayed, and its attempt was none.
function take.put_off(q, t, job, due)
  if job.gid ~= '' then queue.release_slot(q, job.gid) end
  queue.delay(q, job.id, due)
  queue.stamp(q, 'last_activity_ms')
  t.leased = t.leased + 1
end

function take.close(q, t)
  if t.turn ~= q.turn then redis.call('SET', q.base .. ':lane:rr', t.turn) end
  if t.tokens > 0 then redis.call('INCRBY', q.base .. ':lease:seq', t.tokens) end
end

return take
