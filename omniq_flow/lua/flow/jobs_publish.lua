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
--- @include "queue"
--- @include "commit"
--- @include "wake"
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

local q = queue.open(KEYS[1], now)
local names = {}
for n = 1, n_jobs do names[n] = keys.job(q.base, ARGV[first + JOB * (n - 1) + 1]) end
-- Nearly always all of them are new: asked once.
local are_new = n_jobs > 0 and redis.call('EXISTS', unpack(names)) == 0
local reply, seen, has_later = {'OK'}, {}, false
for n = 1, n_jobs do
  local at = first + JOB * (n - 1)
  local id, chosen = ARGV[at + 1], options[tonumber(ARGV[at + 3])]
  if not chosen then return {'ERR', 'BAD_ARGS'} end
  local job = names[n]
  if seen[id] or not are_new and redis.call('EXISTS', job) == 1 then
    if not seen[id] then types.check({job, 'hash'}) end
    reply[#reply + 1] = num.text(n)
  else
    -- The settings are shared; a job's own is its payload, which `enqueue` reads at once.
    chosen.payload = ARGV[at + 2]
    queue.enqueue(q, id, chosen)
    has_later = has_later or chosen.due > now
  end
  seen[id] = true
end
commit.all(q)
-- One idle worker learns of the due times, lest it sleeps past them.
if has_later then wake.notify(q.base, now, 1) end
return reply
