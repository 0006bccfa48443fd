#!lua flags=allow-oom
--[[
  run_sweep: compare what a run waits for with the jobs that are there, and heal what foreign clients or crashes left.

  KEYS  anchor
  ARGV  now_ms run_id limit budget ids...
  Reply OK checked lost failed | GONE

  Looks at about `limit` (200) step runs a call, going round by a cursor in the header; with ids at these only, out of
  turn. A job that is gone is made again under a new epoch, at most three times; one that ended without the flow's knowledge fails its step run. Once a round the
  slots of the run's group are counted again (D14). Of a run that is being cancelled what waits goes, as by run_cancel.
]]
--- @include "num"
--- @include "clock"
--- @include "types"
--- @include "keys"
--- @include "run_keys"
--- @include "group"
--- @include "queue"
--- @include "run"
--- @include "advance"
--- @include "settle"
--- @include "standing"
--- @include "cancel"
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
local MOST_LEASES = 1000
local lost, failed, checked = 0, 0, 0
local places = standing.open(q, r.check)

-- What is left of a job that stands nowhere goes, then there is a new one.
local function lose(step, x, id)
  lost = lost + 1
  cancel.clear(ctx, id)
  advance.lose(ctx, r, step, x)
end

-- The group whose slot a lease holds; where the job is gone its run knows it.
local function group_of(id)
  local gid = redis.pcall('HGET', keys.job(base, id), 'gid')
  if type(gid) == 'string' then return gid end
  local f = keys.parse(id)
  return f and redis.pcall('HGET', run_keys.header(base, f.rid), 'gid')
end

local function recount_slots()
  if redis.call('ZCARD', base .. ':active') > MOST_LEASES then return end
  local g, n = group.of(q, r.gid), 0
  for _, id in ipairs(redis.call('ZRANGE', base .. ':active', 0, -1)) do
    if group_of(id) == r.gid then n = n + 1 end
  end
  if n ~= g.inflight then g.inflight, g.is_dirty, g.may_serve = n, true, true end
end

local function fail(step, x, epoch, kind, message)
  failed = failed + 1
  run.set(r, step, x, 'F', epoch)
  r.out[step .. x] = '!' .. cjson.encode({type = kind, message = message, step = step .. x, attempt = 0})
  advance.close(ctx, r, step)
  advance.settled(ctx, r, step, x, 'f', epoch)
end

local function finish()
  settle.commit(ctx)
  queue.flush(q)
  return {'OK', checked, lost, failed}
end

if r.state == 'cancelling' then
  if num.read(redis.call('HGET', r.keys.header, 'sweep')) == 0 then recount_slots() end
  local n, has_more = cancel.piece(ctx, r, limit)
  settle.conclude(ctx, 0)
  r.is_due = has_more and not run.is_over(r)
  settle.check(ctx)
  cancel.apply(ctx, r, n)
  return finish()
end

local page, seen = {'0', {}}, {}
if #ARGV > 4 then
  for i = 5, #ARGV do
    page[2][#page[2] + 1] = ARGV[i]
    page[2][#page[2] + 1] = run.fact(r, ARGV[i]) or ''
  end
else
  local cursor = redis.call('HGET', r.keys.header, 'sweep') or '0'
  if cursor == '0' then recount_slots() end
  page = redis.call('HSCAN', r.keys.states, cursor, 'COUNT', limit)
  run.put(r, 'sweep', page[1])
  r.was_due = true
end
for i = 1, #page[2], 2 do
  local id, epoch = page[2][i], string.match(page[2][i + 1], '^Q(%d+)')
  if epoch and not seen[id] and run.is_going(r) then
    checked, seen[id] = checked + 1, true
    local step, x = string.match(id, '^([%w_]+)(.*)$')
    local job_id = 'f.' .. rid .. '.' .. id .. '.' .. epoch
    local state, text = standing.of(places, job_id)
    if state == 'lost' then
      lose(step, x, job_id)
    elseif state == 'failed' then
      fail(step, x, tonumber(epoch), 'JobFailed', text and text ~= '' and text or 'lease lost')
    elseif state == 'completed' then
      fail(step, x, tonumber(epoch), 'CompletedOutside', 'its job was completed outside the flow')
    end
  end
end
local missing = standing.missing(places)
if missing then
  local f = keys.parse(missing)
  lose(f.step, f.x, missing)
end
settle.conclude(ctx, ctx.budget)
if page[1] ~= '0' and not run.is_over(r) then r.is_due = true end
return finish()
