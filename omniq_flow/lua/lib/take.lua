--[[
  Taking jobs (wire §7, reserve): groups and plain jobs take turns, groups in the order they became ready.
  Ids without a hash are passed over and take no slot (D9). Comes after `queue.settle`, before `queue.flush`.
]]
--- @include "num"
--- @include "types"
--- @include "keys"
--- @include "queue"
local take = {}
local GROUP_POPS, GHOSTS = 10, 10
local READ = {'payload', 'gid', 'timeout_ms', 'attempt', 'max_attempts', 'first_started_ms'}

-- Raises if a key that `take` is going to write is damaged; reads the pointer and the sequence.
function take.check(q)
  local b = q.base
  q.turn = types.read('string', 'GET', b .. ':lane:rr')
  q.seq = types.read('string', 'GET', b .. ':lease:seq') or '0'
  if not string.match(q.seq, '^%d+$') then error({err = 'WRONGTYPE ' .. b .. ':lease:seq is no number; nothing was changed'}) end
  types.check({
    b .. ':wait', 'list', b .. ':groups:ready', 'zset', b .. ':active', 'zset', b .. ':idx:active', 'zset', b .. ':idx:wait', 'zset',
    b .. ':stats', 'hash',
  })
end

-- The same for the groups that may be served.
function take.check_groups(q)
  for _, gid in ipairs(redis.call('ZRANGE', q.base .. ':groups:ready', 0, GROUP_POPS - 1)) do queue.group(q, gid) end
end

-- nil if the queue is paused. is_held(gid): whether a group is passed over, and ready no more until somebody makes it so.
function take.open(q, behind, is_held)
  if redis.call('EXISTS', q.base .. ':paused') == 1 then return nil end
  return {turn = q.turn, seq = tonumber(q.seq), leased = 0, tokens = 0, ghosts = 0, behind = behind or 0, is_held = is_held}
end

local function read_job(q, id)
  local job = redis.pcall('HMGET', keys.job(q.base, id), unpack(READ))
  if job.err or not job[1] and not job[5] then return nil end
  return {
    id = id, payload = job[1] or '', gid = job[2] or '', lease = num.positive(job[3], 60000),
    attempt = num.read(job[4]), max_attempts = num.read(job[5]), is_first = not job[6] or job[6] == '',
  }
end

-- A queued id whose job is gone; counted out of the lane like one that was taken.
local function leave_wait(q, id, field)
  queue.index(q, 'wait', id)
  queue.count(q, field, -1)
  queue.count(q, 'waiting_total', -1)
end

local function from_wait(q, t)
  while t.ghosts < GHOSTS do
    local id = redis.call('LPOP', q.base .. ':wait')
    if not id then return nil end
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
    local gid = redis.call('ZPOPMIN', q.base .. ':groups:ready')[1]
    if not gid then return nil end
    queue.count(q, 'groups_ready', -1)
    local g = not (t.is_held and t.is_held(gid)) and sound_group(q, gid)
    if g and g.inflight < g.limit then
      local job = from_group(q, t, g)
      if g.inflight < g.limit and redis.call('LLEN', g.prefix .. ':wait') > 0 then
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

-- Leases a popped job. `salt` keeps tokens apart where the sequence was rolled back (H26); `worker`, if it is known, is
-- noted with the token, so that a lost lease can be told by its holder; other clients leave the note as it is.
function take.lease(q, t, job, salt, worker)
  local seq, now = t.seq + 1, num.text(q.now)
  t.seq, t.tokens = seq, t.tokens + 1
  job.attempt, job.until_ms, job.seq = job.attempt + 1, q.now + job.lease, seq
  job.token = redis.sha1hex(job.id .. ':' .. now .. ':' .. num.text(seq) .. salt)
  local fields = {
    'state', 'active', 'attempt', num.text(job.attempt), 'lock_until_ms', num.text(job.until_ms), 'lease_token', job.token,
    'updated_ms', now, 'last_started_ms', now,
  }
  if job.is_first then
    fields[13], fields[14] = 'first_started_ms', now
  end
  if worker then
    fields[#fields + 1], fields[#fields + 2] = 'flow_worker', job.token .. ' ' .. worker
  end
  redis.call('HSET', keys.job(q.base, job.id), unpack(fields))
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
  if t.leased > 0 then redis.call('SET', q.base .. ':lane:rr', t.turn) end
  if t.tokens > 0 then redis.call('INCRBY', q.base .. ':lease:seq', t.tokens) end
end

return take
