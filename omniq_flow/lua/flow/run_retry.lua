#!lua
--[[
  run_retry: let a run that failed or was cancelled go on: what did not succeed is worked again, what did is kept.

  KEYS  anchor
  ARGV  now_ms run_id epoch budget by reason n_redo redo... only...
  Reply RETRIED epoch | APPLIED epoch | GONE | DAMAGED why | CONFLICT state epoch | NO_STEP step | NOT_FAILED id letter | UPSTREAM id cause

  epoch is the one that the caller saw; with another the run has gone on meanwhile (CONFLICT), so a repeat does nothing:
  APPLIED if this very retry is the last one. redo are n_redo steps that are done again though they succeeded, with all
  that follows from them. With `only` no other failures are worked, and they fail the run again; a step run that was held
  back is refused (UPSTREAM) with the failure above it, as far as it is soon found. A run makes at most `budget` (256) step
  runs here; the rest follows by ticks. Refused before any write when the server is out of memory.
]]
--- @include "num"
--- @include "clock"
--- @include "types"
--- @include "keys"
--- @include "queue"
--- @include "run"
--- @include "reopen"
--- @include "settle"
--- @include "wake"
local LOOKS = 2000
local q = queue.open(KEYS[1], clock.now(ARGV[1]))
local base, rid, seen, budget, n_redo = q.base, ARGV[2], num.read(ARGV[3]), num.positive(ARGV[4], 256), num.read(ARGV[7])
local redo, only = {}, {}
for i = 8, #ARGV do
  local list = i < 8 + n_redo and redo or only
  list[#list + 1] = ARGV[i]
end
queue.check(q)
types.check({keys.live(base), 'zset', keys.ended(base), 'zset'})
local ctx = settle.open(q, budget)
local r = run.load(ctx, rid)
local mark = redis.sha1hex(table.concat(ARGV, '|', 7))
if r and r.retry == num.text(seen) .. ' ' .. mark then return {'APPLIED', num.text(r.since)} end
local code, about = reopen.refusal(r)
if not code and r.epoch ~= seen then code, about = 'CONFLICT', r.state end
if code then return {code, about, r and num.text(r.epoch) or ''} end

-- The failure that held a step run back, looked for upwards; nil where too much would have to be read for it.
local function causes()
  local steps, looks = {}, 0
  for _, step in ipairs(cjson.decode(redis.call('HGET', keys.plan(base, r.sha), '_json')).steps) do steps[step.name] = step end
  local above

  local function below(step, y, is_recorded)
    local depth = select(2, string.gsub(y, '-', ''))
    local id = (depth == #step.level and step.name or step.level[depth + 1]) .. y
    looks = looks + 1
    local letter, length = string.match(looks <= LOOKS and run.fact(r, id) or '', '^(%a)%d+:?(%d*)')
    if letter == 'F' then return id end
    if letter == 'U' then return above(string.match(id, '^[%w_]+'), y) or id end
    if letter ~= 'D' or depth == #step.level or is_recorded then return nil end
    for i = 0, num.read(length) - 1 do
      local found = below(step, y .. '-' .. i)
      if found or looks > LOOKS then return found end
    end
  end

  above = function(name, x)
    local level = steps[name].level
    for _, i in ipairs(steps[name].inputs) do
      local step = steps[i.step]
      if step then
        local depth, shared = #step.level, 0
        while level[shared + 1] and level[shared + 1] == step.level[shared + 1] do shared = shared + 1 end
        depth = i.kind == 'gather' and depth - i.up or i.kind == 'after' and shared or depth
        local found = below(step, run.cut(x, depth), i.kind == 'gather' and i.record)
        if found then return found end
      end
    end
  end
  return above
end

for _, step in ipairs(redo) do
  if redis.call('HEXISTS', keys.plan(base, r.sha), step) == 0 then return {'NO_STEP', step} end
end
for _, id in ipairs(only) do
  local letter, epoch = string.match(run.fact(r, id) or 'P0', '^(%a)(%d+)')
  if letter == 'U' then return {'UPSTREAM', id, causes()(string.match(id, '^([%w_]+)(.*)$')) or ''} end
  if letter ~= 'F' then return {'NOT_FAILED', id, letter} end
  run.ask(r, id, epoch)
end
run.note(r, 'retry', ARGV[5], ARGV[6], only)
reopen.begin(ctx, r, redo, #only > 0, mark)
settle.conclude(ctx, budget)
settle.commit(ctx)
queue.flush(q)
wake.notify(base, q.now, q.offered)
return {'RETRIED', num.text(r.since)}
