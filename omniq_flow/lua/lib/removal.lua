--[[
  Removing jobs that are not active (wire §7, remove_job), alone or in a batch. All checks come before the first
  write; the last one, whether the id is in its lane, is the taking out itself (Q11).
]]
--- @include "keys"
--- @include "group"
--- @include "queue"
--- @include "wake"
local removal = {}

-- Of each lane: the state of its jobs, its index set, the counters that go down.
removal.LANES = {
  wait = {state = 'wait', index = 'wait', counts = {'waiting', 'waiting_total'}},
  gwait = {state = 'wait', index = 'wait', counts = {'group_waiting', 'waiting_total'}},
  delayed = {state = 'delayed', index = 'delayed', counts = {'delayed'}},
  failed = {state = 'failed', index = 'failed', counts = {'failed'}},
  completed = {state = 'completed', index = 'completed', counts = {'completed_kept'}},
}

local function is_set(value)
  return value and value ~= ''
end

-- Whether the job may go: the job, or nil and the reason code. Only reads.
function removal.check(q, id, lane)
  local have = redis.call('HMGET', keys.job(q.base, id), 'state', 'gid', 'lease_token', 'lock_until_ms')
  if redis.call('EXISTS', keys.job(q.base, id)) == 0 then return nil, 'NO_JOB' end
  if redis.call('ZSCORE', q.base .. ':active', id) then return nil, 'ACTIVE' end
  local rule = removal.LANES[lane or '']
  if not rule or have[1] ~= rule.state then return nil, 'LANE_MISMATCH' end
  local job = {id = id, gid = is_set(have[2]) and have[2] or nil, lane = lane, rule = rule}
  if lane == 'gwait' and not job.gid then return nil, 'LANE_MISMATCH' end
  job.holds_slot = job.gid and (is_set(have[3]) or is_set(have[4]))
  if job.gid then group.of(q, job.gid) end
  return job
end

local function list_of(q, job)
  return job.lane == 'gwait' and group.of(q, job.gid).prefix .. ':wait' or q.base .. ':' .. job.lane
end

-- Whether a job that was checked stands in its lane, by reading only.
function removal.is_listed(q, job)
  if job.lane == 'delayed' then return redis.call('ZSCORE', q.base .. ':delayed', job.id) and true end
  return redis.call('LPOS', list_of(q, job), job.id) and true
end

local function take_out(q, job)
  if job.lane == 'delayed' then
    if not redis.call('ZSCORE', q.base .. ':delayed', job.id) then return false end
    q.delayed[job.id] = false
    return true
  end
  return redis.call('LREM', list_of(q, job), 1, job.id) == 1
end

-- Removes a job that was checked; false and nothing written if it was not in its lane.
function removal.apply(q, job)
  if not take_out(q, job) then return false end
  if job.holds_slot then queue.release_slot(q, job.gid) end
  if job.lane == 'gwait' then queue.cut_group(q, job.gid) end
  q.dead[#q.dead + 1] = keys.job(q.base, job.id)
  queue.index(q, job.rule.index, job.id)
  for _, field in ipairs(job.rule.counts) do queue.count(q, field, -1) end
  queue.stamp(q, 'last_activity_ms')
  return true
end

-- Comes after `queue.settle`.
function removal.finish(q)
  queue.flush(q)
  wake.notify(q.base, q.now, q.offered)
end

function removal.commit(q)
  queue.settle(q)
  removal.finish(q)
end

return removal
