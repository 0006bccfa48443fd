#!lua flags=allow-oom
--[[
  promote_delayed: jobs whose time has come go to their waiting lists.

  KEYS  anchor
  ARGV  now_ms max_promote
  Reply OK promoted | ERR BAD_NUMBER

  By due time, then id; at most max_promote (1000), a negative number means all. An id without a job is dropped and not
  counted (D9).
]]
--- @include "num"
--- @include "clock"
--- @include "keys"
--- @include "queue"
--- @include "commit"
local now, most = clock.given(ARGV[1]), num.given(ARGV[2], 1000)
if not (now and most) then return {'ERR', 'BAD_NUMBER'} end
local q = queue.open(KEYS[1], now)
local promoted = 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', q.base .. ':delayed', '-inf', num.text(now), 'LIMIT', 0, num.text(most))) do
  local have = redis.call('HMGET', keys.job(q.base, id), 'gid')
  if redis.call('EXISTS', keys.job(q.base, id)) == 1 then
    queue.promote(q, id, have[1])
    promoted = promoted + 1
  else
    queue.drop_due(q, id)
  end
end
commit.all(q)
return {'OK', num.text(promoted)}
