--[[
  A lease as the plain operations see it (wire §6): who may report, and how an attempt that failed goes on.
]]
--- @include "num"
--- @include "keys"
--- @include "queue"
local lease = {}
local READ = {'lease_token', 'gid', 'attempt', 'max_attempts', 'backoff_ms', 'timeout_ms'}

local function read(q, id)
  local have = redis.call('HMGET', keys.job(q.base, id), unpack(READ))
  return {
    id = id, token = have[1] or '', gid = have[2], attempt = num.read(have[3]), max = math.max(num.read(have[4]), 1),
    backoff = num.read(have[5]), timeout = num.positive(have[6], 60000),
  }
end

-- The job that this token leases, or nil and the reason code.
function lease.check(q, id, token)
  if not token or token == '' then return nil, 'TOKEN_REQUIRED' end
  local job = read(q, id)
  if job.token ~= token then return nil, 'TOKEN_MISMATCH' end
  if not redis.call('ZSCORE', q.base .. ':active', id) then return nil, 'NOT_ACTIVE' end
  return job
end

-- The job of an id in `active`, whoever holds it; nil if there is none.
function lease.lapsed(q, id)
  if redis.call('EXISTS', keys.job(q.base, id)) == 0 then return nil end
  return read(q, id)
end

-- An attempt ended without success: the job is due again later, or failed for good. Returns the due time, if any.
function lease.attempt_failed(q, job, text)
  queue.leave_active(q, job.id, job.gid)
  queue.note_error(q, job.id, text)
  if job.attempt >= job.max then
    queue.fail(q, job.id)
    return nil
  end
  local due = q.now + job.backoff
  queue.delay(q, job.id, due)
  return due
end

-- What stands in `last_error` of a job whose worker was not heard of again (D4).
function lease.lost_text(job)
  return 'lease lost: attempt ' .. num.text(job.attempt) .. '/' .. num.text(job.max) .. ' ended without a report'
end

return lease
