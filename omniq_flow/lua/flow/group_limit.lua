#!lua flags=allow-oom
--[[
  group_limit: set how many jobs of a group may be active at once, or take the limit away (D10).

  KEYS  anchor
  ARGV  now_ms gid limit
  Reply OK before after active waiting | ERR BAD_NUMBER | ERR BAD_GROUP | ERR BAD_LIMIT

  An empty limit takes it away, and 1 counts; before and after are empty where there is none. A group that can be served
  is ready at once, one that is full is not; no running job is touched when the limit is lowered below what is active (H11).
]]
--- @include "num"
--- @include "clock"
--- @include "group"
--- @include "queue"
--- @include "commit"
local now, gid, limit = clock.given(ARGV[1]), ARGV[2], num.given(ARGV[3], 0)
if not now then return {'ERR', 'BAD_NUMBER'} end
if not gid or gid == '' then return {'ERR', 'BAD_GROUP'} end
if not limit or limit < (ARGV[3] ~= '' and 1 or 0) then return {'ERR', 'BAD_LIMIT'} end
local q = queue.open(KEYS[1], now)
queue.check(q)
local g = group.of(q, gid)
local before = g.has_limit and num.text(g.limit) or ''
local waiting = redis.call('LLEN', g.prefix .. ':wait')
if limit > 0 then
  g.limit, g.has_limit, g.new_limit = limit, true, true
else
  redis.call('DEL', g.prefix .. ':limit')
  g.limit, g.has_limit = 1, nil
end
g.may_serve = true
if (g.inflight >= g.limit or waiting == 0) and redis.call('ZREM', q.base .. ':groups:ready', gid) == 1 then
  queue.count(q, 'groups_ready', -1)
end
local active = g.inflight
commit.all(q)
return {'OK', before, limit > 0 and num.text(limit) or '', num.text(active), num.text(waiting)}
