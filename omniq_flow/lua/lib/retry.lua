--[[
  A failed job starts over (wire §7, retry_failed), alone or as one of a batch. What it left in other lanes goes (Q14).
]]
--- @include "num"
--- @include "keys"
--- @include "group"
--- @include "queue"
--- @include "commit"
local retry = {}

-- Nothing is written before `retry.commit`, so a damaged job stops a batch as a whole. Returns a reason code, or nil.
function retry.plan(q, id)
  local have = redis.call('HMGET', keys.job(q.base, id), 'state', 'gid')
  if redis.call('EXISTS', keys.job(q.base, id)) == 0 then return 'NO_JOB' end
  if have[1] ~= 'failed' or q.active[id] ~= nil then return 'NOT_FAILED' end
  q.active[id], q.delayed[id] = false, false
  for _, lane in ipairs({'active', 'delayed', 'failed'}) do queue.index(q, lane, id) end
  queue.count(q, 'failed', -1)
  queue.stamp(q, 'last_activity_ms')
  queue.write_job(q, id, {
    'state', 'wait', 'attempt', '0', 'updated_ms', num.text(q.now), 'lease_token', '', 'lock_until_ms', '', 'due_ms', '', 'failed_ms', '',
  })
  queue.push(q, id, have[2])
  q.retried = q.retried or {}
  q.retried[#q.retried + 1] = {id = id, gid = have[2]}
end

-- Takes what was planned out of the lanes it stood in; `queue.settle` puts it where it goes.
function retry.unlist(q)
  for _, job in ipairs(q.retried or {}) do
    redis.call('LREM', q.base .. ':wait', 0, job.id)
    redis.call('LREM', q.base .. ':failed', 0, job.id)
    if job.gid and job.gid ~= '' then redis.call('LREM', group.of(q, job.gid).prefix .. ':wait', 0, job.id) end
  end
end

function retry.commit(q)
  retry.unlist(q)
  commit.all(q)
end

return retry
