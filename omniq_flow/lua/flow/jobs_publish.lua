#!lua
--[[
  jobs_publish: publish up to 256 jobs, all or none, each as enqueue does. A known id is left as it is (D2).

  KEYS  anchor
  ARGV  now_ms n_options options... jobs...
  Reply OK known... | ERR TOO_MANY 256 | ERR BAD_ARGS | ERR BAD_NUMBER

  options: six each, the settings that jobs share: max_attempts timeout_ms backoff_ms due_ms gid group_limit.
  jobs: three each: job_id payload and the number of its options, from 1.
  known: numbers of the jobs, from 1, whose id was in use or stands before them in this call.
  Refused before any write when the server is out of memory. Idle workers are told of jobs that can be taken, and one of
  jobs that are due later.
]]
--- @include "num"
--- @include "clock"
--- @include "types"
--- @include "keys"
--- @include "straight"
--- @include "wake"
--- @later "queue"
--- @later "commit"
local MOST, OPTIONS, JOB = 256, 6, 3
local now, n_options = clock.given(ARGV[1]), num.given(ARGV[2], -1)
if not (now and n_options) then return {'ERR', 'BAD_NUMBER'} end
local first = 2 + OPTIONS * n_options
local n_jobs = (#ARGV - first) / JOB
if n_options < 0 or n_jobs < 0 or n_jobs % 1 ~= 0 then return {'ERR', 'BAD_ARGS'} end
if n_jobs > MOST then return {'ERR', 'TOO_MANY', num.text(MOST)} end

local options = {}
for n = 1, n_options do
  local at = 2 + OPTIONS * (n - 1)
  local attempts, lease, backoff = num.given(ARGV[at + 1], 1), num.given(ARGV[at + 2], 60000), num.given(ARGV[at + 3], 5000)
  local due, limit = num.given(ARGV[at + 4], 0), num.given(ARGV[at + 6], 0)
  if not (attempts and lease and backoff and due and limit) then return {'ERR', 'BAD_NUMBER'} end
  options[n] = {attempts = attempts, lease = lease, backoff = backoff, due = due, gid = ARGV[at + 5], limit = limit}
end

local base = keys.base(KEYS[1])
local names = {}
for n = 1, n_jobs do names[n] = keys.job(base, ARGV[first + JOB * (n - 1) + 1]) end
-- Nearly always all of them are new: asked once.
local are_new = n_jobs > 0 and redis.call('EXISTS', unpack(names)) == 0
local ids, of, known, seen, are_plain = {}, {}, {}, {}, true
for n = 1, n_jobs do
  local at = first + JOB * (n - 1)
  local id, chosen = ARGV[at + 1], options[tonumber(ARGV[at + 3])]
  if not chosen then return {'ERR', 'BAD_ARGS'} end
  if seen[id] or not are_new and redis.call('EXISTS', names[n]) == 1 then
    if not seen[id] then types.check({names[n], 'hash'}) end
    known[#known + 1] = num.text(n)
  else
    ids[#ids + 1], of[#ids + 1] = id, n
    are_plain = are_plain and chosen.gid == '' and chosen.due <= now
  end
  seen[id] = true
end

-- The settings are shared; a job's own is its payload, which is read at once.
local function job(i)
  local at = first + JOB * (of[i] - 1)
  local chosen = options[tonumber(ARGV[at + 3])]
  chosen.payload = ARGV[at + 2]
  return chosen
end

local has_later = false
if #ids > 0 and are_plain then
  straight.enqueue(base, now, ids, job)
  wake.notify(base, now, #ids)
elseif #ids > 0 then
  later()
  local q = queue.open(KEYS[1], now)
  for i, id in ipairs(ids) do
    queue.enqueue(q, id, job(i))
    has_later = has_later or job(i).due > now
  end
  commit.all(q)
end
-- One idle worker learns of the due times, lest it sleeps past them.
if has_later then wake.notify(base, now, 1) end
return {'OK', unpack(known)}
