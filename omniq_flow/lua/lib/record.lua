--[[
  The hash of a job (wire §3): how it begins, how it is read by who takes it, and what a lease writes. Fields and values are
  flat, as HSET takes them.
]]
--- @include "num"
--- @include "keys"
local record = {}

-- Completed jobs are kept up to so many.
local KEPT = 100

local READ = {'timeout_ms', 'attempt', 'max_attempts', 'first_started_ms', 'payload', 'gid'}

-- A job that waits. job: payload, attempts, lease, backoff and, if it has one, gid; now: text. There is room for the fields
-- of a lease, since a table that grows is made anew.
function record.fresh(id, job, now)
  local gid = job.gid ~= '' and job.gid or nil
  return {
    'id', id, 'payload', job.payload, 'state', 'wait', 'attempt', '0', 'max_attempts', num.text(job.attempts),
    'timeout_ms', num.text(job.lease), 'backoff_ms', num.text(job.backoff), 'created_ms', now, 'updated_ms', now,
    'queued_ms', now, 'first_started_ms', '', 'last_started_ms', '', 'completed_ms', '', 'failed_ms', '', gid and 'gid', gid,
    nil, nil, nil, nil, nil, nil,
  }
end

-- The same, due later: text, ms.
function record.delay(fields, due)
  fields[6], fields[#fields + 1], fields[#fields + 2] = 'delayed', 'due_ms', due
end

-- A queued job; nil if there is none (D9). There is room for what a lease adds. gid: of a step run's job, which needs no payload to
-- be worked.
function record.read(base, id, gid)
  local job
  if gid then
    job = redis.pcall('HMGET', keys.job(base, id), 'timeout_ms', 'attempt', 'max_attempts', 'first_started_ms')
  else
    job = redis.pcall('HMGET', keys.job(base, id), unpack(READ))
  end
  if job.err or not job[3] and not job[5] then return nil end
  return {
    id = id, payload = job[5] or '', gid = gid or job[6] or '', lease = num.positive(job[1], 60000),
    attempt = num.read(job[2]), max_attempts = num.read(job[3]), is_first = not job[4] or job[4] == '', until_ms = 0, seq = 0, token = '',
  }
end

-- A job that was not written yet, as `read` would give it and with the same room; `fields` are those of `fresh`.
function record.made(id, job, fields)
  return {
    id = id, payload = job.payload, gid = job.gid or '', lease = num.positive(job.lease, 60000), attempt = 0, max_attempts = job.attempts,
    fields = fields, until_ms = 0, seq = 0, token = '',
  }
end

-- Leases a job and gives what is to be written of it. `salt` keeps tokens apart where the sequence was rolled back (H26);
-- `worker`, if it is known, is noted with the token, so that a lost lease can be told by its holder; other clients leave
-- the note as it is.
function record.lease(job, now_ms, seq, salt, worker)
  local now, fields = num.text(now_ms), job.fields
  job.attempt, job.until_ms, job.seq = job.attempt + 1, now_ms + job.lease, seq
  job.token = redis.sha1hex(job.id .. ':' .. now .. ':' .. num.text(seq) .. salt)
  if fields then
    fields[6], fields[8], fields[22], fields[24] = 'active', num.text(job.attempt), now, now
  else
    fields = {'state', 'active', 'attempt', num.text(job.attempt), 'updated_ms', now, 'last_started_ms', now}
  end
  local n = #fields
  fields[n + 1], fields[n + 2], fields[n + 3], fields[n + 4] = 'lock_until_ms', num.text(job.until_ms), 'lease_token', job.token
  if worker then
    fields[n + 5], fields[n + 6], n = 'flow_worker', job.token .. ' ' .. worker, n + 2
  end
  if job.is_first then
    fields[n + 5], fields[n + 6] = 'first_started_ms', now
  end
  return fields
end

-- Of completed jobs the oldest leave their list, which has that length now. Gives how many are left, the ids of those that left, and
-- the keys of those among them that nobody has made anything else of since (D5).
function record.trim(base, length)
  if length <= KEPT then return length, {}, {} end
  local old, dead = redis.call('RPOP', base .. ':completed', length - KEPT), {}
  for _, id in ipairs(old) do
    local key = keys.job(base, id)
    if redis.pcall('HGET', key, 'state') == 'completed' then dead[#dead + 1] = key end
  end
  return KEPT, old, dead
end

return record
