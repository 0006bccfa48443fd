#!lua
--[[
  enqueue: publish a job, due now or later, alone or into a group. A known id is left as it is and returned (D2).

  KEYS  anchor
  ARGV  job_id payload max_attempts timeout_ms backoff_ms now_ms due_ms gid group_limit
  Reply OK job_id | ERR BAD_NUMBER

  What is left out or empty counts as 1 attempt, a lease of 60000, a backoff of 5000, due at once, no group. The first
  limit above zero that a group is given stays. Refused before any write when the server is out of memory.
]]
--- @include "num"
--- @include "clock"
--- @include "types"
--- @include "keys"
--- @include "straight"
--- @include "wake"
--- @later "queue"
--- @later "commit"
local id, payload, gid = ARGV[1] or '', ARGV[2] or '', ARGV[8] or ''
local attempts, lease, backoff = num.given(ARGV[3], 1), num.given(ARGV[4], 60000), num.given(ARGV[5], 5000)
local now, due, limit = clock.given(ARGV[6]), num.given(ARGV[7], 0), num.given(ARGV[9], 0)
if not (attempts and lease and backoff and now and due and limit) then return {'ERR', 'BAD_NUMBER'} end
local base = keys.base(KEYS[1])
local hash = keys.job(base, id)
if redis.call('EXISTS', hash) == 1 then
  types.check({hash, 'hash'})
  return {'OK', id}
end
local job = {payload = payload, attempts = attempts, lease = lease, backoff = backoff, gid = gid, limit = limit, due = due}

if gid == '' and due <= now then
  straight.enqueue(base, now, {id}, function() return job end)
  wake.notify(base, now, 1)
else
  later()
  local q = queue.open(KEYS[1], now)
  queue.enqueue(q, id, job)
  commit.all(q)
  -- One idle worker learns of the due time, lest it sleeps past it.
  if due > now then wake.notify(base, now, 1) end
end
return {'OK', id}
