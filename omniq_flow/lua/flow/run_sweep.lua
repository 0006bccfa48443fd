#!lua flags=allow-oom
--[[
  run_sweep: compare what a run waits for with the jobs that are there, and heal what foreign clients or crashes left.

  KEYS  anchor
  ARGV  now_ms run_id limit budget
  Reply OK checked lost failed | GONE

  Looks at about `limit` (200) step runs a call, going round by a cursor in the header. A job that is gone is made again
  under a new epoch, at most three times; one that ended without the flow's knowledge fails its step run.
]]
--- @include "clock"
--- @include "queue"
--- @include "run"
--- @include "advance"
--- @include "settle"
local q = queue.open(KEYS[1], clock.now(ARGV[1]))
local base, rid, limit = q.base, ARGV[2], num.positive(ARGV[3], 200)
local ctx = settle.open(q, num.positive(ARGV[4], 256))
queue.check(q)
types.check({keys.live(base), 'zset', keys.ended(base), 'zset'})
local r = run.load(ctx, rid)
if not r then
  redis.call('ZREM', keys.live(base), rid)
  return {'GONE'}
end
if run.is_over(r) then return {'OK', 0, 0, 0} end
local lost, failed, checked = 0, 0, 0

-- Whether a job of ours still stands where it says it stands. Waiting lists are not searched.
local function standing(id)
  local have = redis.pcall('HMGET', keys.job(base, id), 'state', 'last_error')
  if have.err then return 'odd' end
  local state = have[1]
  if not state then return 'lost' end
  if state == 'active' and not redis.call('ZSCORE', base .. ':active', id) then return 'lost' end
  if state == 'delayed' and not redis.call('ZSCORE', base .. ':delayed', id) then return 'lost' end
  return state, have[2]
end

local function fail(step, x, epoch, kind, message)
  failed = failed + 1
  run.set(r, step, x, 'F', epoch)
  r.out[step .. x] = '!' .. cjson.encode({type = kind, message = message, step = step .. x, attempt = 0})
  advance.close(ctx, r, step)
  advance.settled(ctx, r, step, x, 'f', epoch)
end

local page = redis.call('HSCAN', r.keys.states, redis.call('HGET', r.keys.header, 'sweep') or '0', 'COUNT', limit)
for i = 1, #page[2], 2 do
  local id, epoch = page[2][i], string.match(page[2][i + 1], '^Q(%d+)')
  if epoch and run.is_going(r) then
    checked = checked + 1
    local step, x = string.match(id, '^([%w_]+)(.*)$')
    local state, text = standing('f.' .. rid .. '.' .. id .. '.' .. epoch)
    if state == 'lost' then
      lost = lost + 1
      advance.lose(ctx, r, step, x)
    elseif state == 'failed' then
      fail(step, x, tonumber(epoch), 'JobFailed', text and text ~= '' and text or 'lease lost')
    elseif state == 'completed' then
      fail(step, x, tonumber(epoch), 'CompletedOutside', 'its job was completed outside the flow')
    end
  end
end
run.put(r, 'sweep', page[1])
r.was_due = true
settle.conclude(ctx, ctx.budget)
if page[1] ~= '0' and not run.is_over(r) then r.is_due = true end
settle.commit(ctx)
queue.flush(q)
return {'OK', checked, lost, failed}
