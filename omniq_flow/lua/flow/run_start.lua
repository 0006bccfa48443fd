#!lua
--[[
  run_start: begin a run. Atomic, and safe to send twice: the same run id or run key with the same input is the same run.

  KEYS  anchor
  ARGV  now_ms run_id plan flow key digest input gid limit options budget n_plan plan_fields...
  Reply STARTED run_id | EXISTS run_id | CONFLICT run_id | LEFTOVER key | NO_PLAN

  options is JSON: stop, window, retention_ms, check_ms, tags (lines `name=value`, absent if there are none). plan_fields
  are the pairs of the plan's hash; without them (n_plan 0) the plan must be there. The digest of the input decides
  between EXISTS and CONFLICT. LEFTOVER names a key of an earlier run of this id whose header is gone: an id is never used
  twice. Refused before any write when the server is out of memory. A run makes at most `budget` (256) step runs here; the
  rest follows by ticks.
]]
--- @include "num"
--- @include "clock"
--- @include "many"
--- @include "types"
--- @include "keys"
--- @include "run_keys"
--- @include "queue"
--- @include "run"
--- @include "advance"
--- @include "settle"
--- @include "wake"
local q = queue.open(KEYS[1], clock.now(ARGV[1]))
local base, rid, sha, flow, key, digest, input = q.base, ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local gid, limit, options, budget, n_plan = ARGV[8], num.read(ARGV[9]), cjson.decode(ARGV[10]), num.positive(ARGV[11], 256), num.read(ARGV[12])
local key_name = keys.run_key(base, flow, key)
local plan_key, names = keys.plan(base, sha), run_keys.of(base, rid, '0')
queue.check(q)
types.check({key_name, 'string', plan_key, 'hash', names.header, 'hash', keys.live(base), 'zset', keys.ended(base), 'zset'})

local function compare(id)
  return {redis.call('HGET', run_keys.header(base, id), 'digest') == digest and 'EXISTS' or 'CONFLICT', id}
end

if key ~= '' then
  local id = redis.call('GET', key_name)
  if id and redis.call('EXISTS', run_keys.header(base, id)) == 1 then return compare(id) end
end
if redis.call('EXISTS', names.header) == 1 then return compare(rid) end
local has_plan = redis.call('EXISTS', plan_key) == 1
if n_plan == 0 and not has_plan then return {'NO_PLAN'} end

local roots
if has_plan then
  roots = cjson.decode(redis.call('HGET', plan_key, '_roots'))
else
  for i = 1, n_plan, 2 do
    if ARGV[12 + i] == '_roots' then roots = cjson.decode(ARGV[13 + i]) end
  end
end
local remains = {names.states, names.outputs, names.tallies, names.history, names.tokens, names.big}
for _, name in ipairs(roots) do remains[#remains + 1] = keys.job(base, 'f.' .. rid .. '.' .. name .. '.1') end
for _, name in ipairs(remains) do
  if redis.call('EXISTS', name) == 1 then return {'LEFTOVER', name} end
end

if not has_plan then
  local fields = {}
  for i = 1, n_plan do fields[i] = ARGV[12 + i] end
  many.call('HSET', plan_key, fields)
end
local ctx = settle.open(q, budget)
local r = run.create(ctx, rid, {
  state = 'running', sha = sha, epoch = 1, gen = 0, open = 0, rev = 0, gid = gid, limit = limit, stop = options.stop, window = options.window,
  retention = options.retention_ms, work = 0, rest = 0, failed = false, check = options.check_ms,
})
for field, value in pairs({
  state = 'running', flow = flow, sha = sha, epoch = 1, gen = 0, open = 0, gid = gid, limit = limit, stop = options.stop and '1' or '0',
  window = options.window, retention = options.retention_ms, work = 0, rest = 0, key = key, digest = digest, created_ms = q.now,
  check = options.check_ms, tags = options.tags,
}) do
  r.head[field] = r.head[field] or value
end
run.event(r, 'run running')
if #input > 65536 then
  ctx.values[run_keys.value(base, rid, ':input', '0')] = input
  r.big[1] = ':input:0'
  r.out[':input'] = '@0'
else
  r.out[':input'] = '=' .. input
end
advance.begin(ctx, r, roots)
settle.conclude(ctx, budget)
redis.call('HINCRBY', plan_key, '_runs', 1)
if key ~= '' then redis.call('SET', key_name, rid) end
settle.commit(ctx)
queue.flush(q)
wake.notify(base, q.now, q.offered)
return {'STARTED', rid}
