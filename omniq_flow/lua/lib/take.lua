--[[
  Taking jobs (wire §7, reserve): groups and plain jobs take turns, groups in the order they became ready.
  Ids without a hash are passed over and take no slot (D9). Comes after `queue.settle`, before `queue.flush`.
]]
--- @include "types"
--- @include "keys"
--- @include "record"
--- @include "order"
--- @include "stats"
--- @include "group"
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
  for _, gid in ipairs(redis.call('ZRANGE', q.base .. ':groups:ready', 0, GROUP_POPS - 1)) do group.of(q, gid) end
end

-- nil if the queue is paused. most: so many jobs are wanted. is_held(gid): whether a group is passed over, and ready no more until
-- somebody makes it so; who says so is a beat, which needs no payload of a step run's job.
function take.open(q, most, behind, is_held)
  if redis.call('EXISTS', q.base .. ':paused') == 1 then return nil end
  return {
    turn = q.turn, seq = q.seq, leased = 0, useless = 0, from_wait = 0, from_group = 0, ghosts = 0, behind = behind or 0, is_held = is_held,
    most = most, ready = {}, at = 1,
  }
end

-- A queued id leaves the index of what waits, whether its job is there or not.
local function leave_index(q, id)
  if q.made[id] then
    q.index.wait[id] = nil
  else
    queue.index(q, 'wait', id)
  end
end

local function read_job(q, id, gid)
  local made = q.made[id]
  return made and record.made(id, made, q.hashes[id]) or record.read(q.base, id, gid)
end

local function from_wait(q, t)
  while q.n_wait > 0 and t.ghosts < GHOSTS do
    local id = redis.call('LPOP', q.base .. ':wait')
    if not id then return nil end
    q.n_wait, t.from_wait = q.n_wait - 1, t.from_wait + 1
    leave_index(q, id)
    local job = read_job(q, id)
    if job then return job end
    t.ghosts = t.ghosts + 1
  end
end

local function from_group(q, t, g)
  while t.ghosts < GHOSTS do
    local id = redis.pcall('LPOP', g.list)
    -- Nothing waits, or the list is something else: passed over, it must not stop the others half-way.
    if type(id) ~= 'string' then return nil end
    if g.waiting then g.waiting = g.waiting - 1 end
    t.from_group = t.from_group + 1
    leave_index(q, id)
    local job = read_job(q, id, t.is_held and keys.parse(id) and g.gid)
    if job then
      g.inflight, g.is_dirty = g.inflight + 1, true
      return job
    end
    t.ghosts = t.ghosts + 1
  end
end

-- A group that was not met yet; false if a key of it has another type.
local function meet_group(q, gid)
  local is_sound, g = pcall(group.slots, q.base, gid)
  if is_sound then q.groups[gid] = g end
  return is_sound and g
end

local function has_waiting(g)
  if not g.waiting then g.waiting = tonumber(redis.pcall('LLEN', g.list)) or 0 end
  return g.waiting > 0
end

-- The group that is ready for longest; as many are popped at once as jobs are wanted still.
local function next_ready(q, t)
  local gid = t.ready[t.at]
  if not gid then
    if not q.may_be_ready then return nil end
    local most = math.max(t.most - t.leased, 1)
    t.ready, t.at = redis.call('ZPOPMIN', q.base .. ':groups:ready', most), 1
    local n = #t.ready / 2
    q.may_be_ready = n == most
    if n == 0 then return nil end
    queue.count(q, 'groups_ready', -n)
    gid = t.ready[1]
  end
  t.at = t.at + 2
  return gid
end

-- Who was served goes behind those who were not, within one ms too: equal scores are ordered by name. OmniQ's own operation
-- (behind = 0) writes whole numbers. Once all that are ready are popped, the end of them is as good a place as the ready set.
local function ready_again(q, t, gid)
  local score = q.now + t.behind / 1024
  t.behind = t.behind + 1
  if q.may_be_ready then return queue.make_ready(q, gid, score) end
  local n = #t.ready
  t.ready[n + 1], t.ready[n + 2], q.offered = gid, score, q.offered + 1
end

-- A full group is left out: the slot that frees next makes it ready again (Q19).
local function from_groups(q, t)
  for _ = 1, GROUP_POPS do
    local gid = next_ready(q, t)
    if not gid then return nil end
    local g = not (t.is_held and t.is_held(gid)) and (q.groups[gid] or meet_group(q, gid))
    if g and g.inflight < g.limit then
      local job = from_group(q, t, g)
      if g.inflight < g.limit and has_waiting(g) then ready_again(q, t, gid) end
      if job then return job end
    end
  end
end

-- The next job, popped from its lane and not yet leased; nil if there is none.
function take.next(q, t)
  local is_second = t.turn and t.turn ~= '0'
  local job
  if is_second then
    job = from_wait(q, t) or from_groups(q, t)
  else
    job = from_groups(q, t) or from_wait(q, t)
  end
  if job then t.turn = is_second and '0' or '1' end
  return job
end

-- Leases a popped job; salt and worker as `record.lease` has them.
function take.lease(q, t, job, salt, worker)
  local id, leased = job.id, t.leased + 1
  t.leased = leased
  redis.call('HSET', keys.job(q.base, id), unpack(record.lease(job, q.now, t.seq + leased, salt, worker)))
  q.hashes[id], q.made[id] = nil, nil
  q.active[id] = job.until_ms
  queue.index(q, 'active', id, q.now)
end

-- A popped job that is of no use any more: it completes without a lease.
function take.discard(q, t, job)
  if job.gid ~= '' then queue.release_slot(q, job.gid) end
  queue.complete(q, job.id)
  t.useless = t.useless + 1
end

-- A popped job that may not begin now: it is delayed, and its attempt was none.
function take.put_off(q, t, job, due)
  if job.gid ~= '' then queue.release_slot(q, job.gid) end
  queue.delay(q, job.id, due)
  t.useless = t.useless + 1
end

-- What was popped and not needed stands where it stood.
local function put_back(q, t)
  local added = 0
  for i = t.at, #t.ready, 2 do
    added = added + redis.call('ZADD', q.base .. ':groups:ready', 'NX', t.ready[i + 1], t.ready[i])
  end
  if added > 0 then queue.count(q, 'groups_ready', added) end
end

function take.close(q, t)
  put_back(q, t)
  if t.turn ~= q.turn then redis.call('SET', q.base .. ':lane:rr', t.turn) end
  if t.from_wait > 0 then queue.count(q, 'waiting', -t.from_wait) end
  if t.from_group > 0 then queue.count(q, 'group_waiting', -t.from_group) end
  if t.from_wait + t.from_group > 0 then queue.count(q, 'waiting_total', -t.from_wait - t.from_group) end
  if t.leased > 0 then
    redis.call('INCRBY', q.base .. ':lease:seq', t.leased)
    queue.count(q, 'active', t.leased)
    queue.stamp(q, 'last_reserve_ms')
    q.offered = q.offered - t.leased
  end
  if t.leased + t.useless > 0 then queue.stamp(q, 'last_activity_ms') end
end

return take
