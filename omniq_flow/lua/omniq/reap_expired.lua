#!lua flags=allow-oom
--[[
  reap_expired: leases that ended are taken back; their jobs are due again after the backoff, or failed for good.

  KEYS  anchor
  ARGV  now_ms max_reap
  Reply OK reaped | ERR BAD_NUMBER

  By deadline, then id; at most max_reap (1000), a negative number means all. A deadline equal to now has passed.
  last_error tells of the lost lease (D4). An id without a job is dropped and counted; the slot it held is not known.
]]
--- @include "num"
--- @include "clock"
--- @include "queue"
--- @include "lease"
--- @include "commit"
local now, most = clock.given(ARGV[1]), num.given(ARGV[2], 1000)
if not (now and most) then return {'ERR', 'BAD_NUMBER'} end
local q = queue.open(KEYS[1], now)
local ids = redis.call('ZRANGEBYSCORE', q.base .. ':active', '-inf', num.text(now), 'LIMIT', 0, num.text(most))
for _, id in ipairs(ids) do
  local job = lease.lapsed(q, id)
  if job then
    lease.attempt_failed(q, job, lease.lost_text(job))
  else
    queue.leave_active(q, id)
  end
end
commit.all(q)
return {'OK', num.text(#ids)}
