#!lua
--[[
  run_rerun: begin a run that follows the plan of another, with what some of its steps gave; a bounded piece a call.

  KEYS  anchor
  ARGV  now_ms run_id limit budget by reason input of once digest gid keep...
  Reply MORE copied | STARTED run_id copied | EXISTS run_id | GONE | OPEN state | CHANGED | DAMAGED why | LOST id | CONFLICT | LEFTOVER key

  `of` is a run that has ended. What the steps `keep` of it gave (successes, and skips by their handlers) is copied first,
  about `limit` (256) step runs and list elements a call: send it again, with the same arguments, while the answer is MORE.
  With the last of it the run begins, and the headers and histories of both name each other. Until then there is no run;
  a copy that nobody goes on with is given up after an hour. Without `digest` the input is that of `of`, and so is the group
  unless it was the run's own; its tags are those of `of`. A value that is gone is LOST, `of` retried or purged meanwhile
  is CHANGED or GONE: the copy is given up then. With `once` a life of `of` has one such run (EXISTS names it), and where
  nothing is kept `of` may still be on the way to its cancel. Refused before any write when the server is out of memory. A
  run makes at most `budget` (256) step runs here; the rest follows by ticks.
]]
--- @include "num"
--- @include "clock"
--- @include "types"
--- @include "keys"
--- @include "run_keys"
--- @include "queue"
--- @include "run"
--- @include "advance"
--- @include "settle"
--- @include "copies"
--- @include "carry"
--- @include "wake"
local GIVEN_UP_MS = 3600000
local q = queue.open(KEYS[1], clock.now(ARGV[1]))
local base, rid, limit, budget = q.base, ARGV[2], math.min(num.positive(ARGV[3], 256), 1000), num.positive(ARGV[4], 256)
local by, reason, input, of, once, digest, gid = ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9] == '1', ARGV[10], ARGV[11]
local keep = {}
for i = 12, #ARGV do keep[#keep + 1] = ARGV[i] end
local mark, names, copy_key = redis.sha1hex(table.concat(ARGV, '|', 8)), run_keys.of(base, rid, '0'), keys.copy(base, rid)
queue.check(q)
types.check({
  keys.live(base), 'zset', keys.ended(base), 'zset', keys.copies(base), 'zset', copy_key, 'hash',
  names.header, 'hash', names.states, 'hash', names.outputs, 'hash', names.tallies, 'hash', names.tokens, 'hash', names.big, 'set',
  names.history, 'list',
})
local have = redis.call('HMGET', names.header, 'state', 'rerun')
if have[1] then
  if have[2] == mark then return {'EXISTS', rid} end
  return {'CONFLICT'}
end

local ctx = settle.open(q, budget)
local source = run.load(ctx, of)
local copy = {}
copy.mark, copy.epoch, copy.step, copy.at, copy.copied = unpack(redis.call('HMGET', copy_key, 'mark', 'epoch', 'step', 'at', 'copied'))
copy.step, copy.copied = num.read(copy.step), num.read(copy.copied)
if copy.mark and copy.mark ~= mark then return {'CONFLICT'} end

local function refused(...)
  if copy.mark then copies.give_up(base, rid) end
  return {...}
end

if not source or source.purging then return refused('GONE') end
if once then
  local epoch, other = string.match(redis.call('HGET', source.keys.header, 'replaced') or '', '^(%d+) (.*)$')
  if epoch == num.text(source.epoch) and redis.call('EXISTS', run_keys.header(base, other)) == 1 then
    refused()
    return {'EXISTS', other}
  end
end
if not run.is_over(source) and not (once and #keep == 0 and source.state == 'cancelling') then
  return refused(copy.mark and 'CHANGED' or 'OPEN', source.state)
end
if copy.mark and num.read(copy.epoch) ~= source.epoch then return refused('CHANGED') end
if source.damage and #keep > 0 then return refused('DAMAGED', source.damage) end

-- beginning -------------------------------------------------------------------------

local epoch = #keep > 0 and source.epoch or 0
local roots = redis.call('HGET', keys.plan(base, source.sha), '_roots')
if not roots then error({err = 'NO_PLAN run ' .. of .. ': plan ' .. source.sha .. ' is gone'}) end
roots = cjson.decode(roots)

if not copy.mark then
  if redis.call('ZSCORE', keys.copies(base), rid) then
    local _, is_gone = copies.drop(base, rid, limit)
    if not is_gone then return {'MORE', 0} end
  end
  local remains = {names.states, names.outputs, names.tallies, names.tokens, names.big, names.history}
  for _, name in ipairs(roots) do remains[#remains + 1] = keys.job(base, 'f.' .. rid .. '.' .. name .. '.' .. num.text(epoch + 1)) end
  for _, name in ipairs(remains) do
    if redis.call('EXISTS', name) == 1 then return {'LEFTOVER', name} end
  end
  copy.step, copy.at, copy.copied = 1, '', 0
end

-- A piece of the copy -----------------------------------------------------------------

local c, lost = carry.open(ctx, source, rid, limit), nil
if not copy.mark then lost = carry.input(c, digest ~= '' and input) end
lost = lost or carry.some(c, keep, copy)
if lost then return refused('LOST', lost) end
carry.write(c)
redis.call(
  'HSET', copy_key, 'mark', mark, 'epoch', num.text(source.epoch), 'step', num.text(copy.step), 'at', copy.at, 'copied', num.text(copy.copied)
)
redis.call('ZADD', keys.copies(base), q.now + GIVEN_UP_MS, rid)
if copy.step <= #keep then return {'MORE', copy.copied} end

-- the run -----------------------------------------------------------------------------

local flow, old_digest, tags = unpack(redis.call('HMGET', source.keys.header, 'flow', 'digest', 'tags'))
if digest == '' then gid = source.gid == of and rid or source.gid end
if gid == '' then gid = rid end
local r = run.create(ctx, rid, {
  state = 'running', sha = source.sha, epoch = epoch + 1, gen = 0, open = 0, rev = 0, gid = gid, limit = source.limit, stop = source.stop,
  window = source.window, retention = source.retention, work = 0, rest = 0, failed = false, check = source.check, since = epoch + 1,
})
-- What was copied is read as that of a life before this one.
r.is_new, r.was_due = false, true
for field, value in pairs({
  state = 'running', flow = flow, sha = r.sha, epoch = r.epoch, gen = 0, open = 0, gid = gid, limit = r.limit, stop = r.stop and '1' or '0',
  window = r.window, retention = r.retention, work = 0, rest = 0, key = '', digest = digest ~= '' and digest or old_digest,
  created_ms = q.now, check = r.check, rerun = mark, rerun_of = of, tags = tags or nil,
}) do
  r.head[field] = value
end
if epoch > 0 then r.head.retry = num.text(epoch) .. ' rerun' end
if once then run.put(source, 'replaced', num.text(source.epoch) .. ' ' .. rid) end
run.put(source, 'rerun_as', rid)
run.event(source, 'rerun_as ' .. rid)
run.note(source, 'rerun', by, reason)
run.event(r, 'run running')
run.event(r, 'rerun_of ' .. of .. ' ' .. num.text(copy.copied))
run.note(r, 'rerun', by, reason)
advance.begin(ctx, r, roots)
settle.conclude(ctx, budget)
settle.check(ctx)
redis.call('UNLINK', copy_key)
redis.call('ZREM', keys.copies(base), rid)
redis.call('HINCRBY', keys.plan(base, r.sha), '_runs', 1)
if copy.copied > 0 then
  local counts, parts = redis.call('HGETALL', names.tallies), {}
  for i = 1, #counts, 2 do parts[#parts + 1] = counts[i] .. '=' .. counts[i + 1] end
  redis.call('RPUSH', names.history, '0|' .. num.text(q.now) .. '|checkpoint ' .. table.concat(parts, ' '))
end
settle.commit(ctx)
queue.flush(q)
wake.notify(base, q.now, q.offered)
return {'STARTED', rid, copy.copied}
