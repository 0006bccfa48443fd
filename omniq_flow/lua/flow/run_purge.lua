#!lua flags=allow-oom
--[[
  run_purge: take away runs whose retention is over, or that are more than are to be kept; a bounded piece a call.

  KEYS  anchor
  ARGV  now_ms keep_runs limit
  Reply OK purged more

  Removes a run's facts, values, history, key and group, the jobs it left in the failed and completed lanes, and its plan
  with the last run of it; the header says `purging` from the first piece on. more is 1 while something is left to do.
  Derived keys that were thrown away go here as well, and so do copies for a re-run that were given up.
]]
--- @include "num"
--- @include "clock"
--- @include "many"
--- @include "types"
--- @include "keys"
--- @include "run_keys"
--- @include "queue"
--- @include "run"
--- @include "copies"
--- @include "ending"
local q = queue.open(KEYS[1], clock.now(ARGV[1]))
local base, keep, limit = q.base, num.read(ARGV[2]), num.positive(ARGV[3], 200)
queue.check(q)
types.check({keys.ended(base), 'zset', keys.live(base), 'zset', keys.trash(base), 'set', keys.copies(base), 'zset'})
-- Each failed job is searched for in its lane; a call looks at some 500,000 entries of it, however long it is (H21).
limit = math.max(1, math.min(limit, math.floor(500000 / math.max(redis.call('LLEN', base .. ':failed'), 1))))
local ended, left, purged = keys.ended(base), limit, 0

-- Counters and records of a generation that was thrown away.
local function empty_trash()
  local name = redis.call('SRANDMEMBER', keys.trash(base))
  if not name then return end
  local gates = base .. ':flow:n:' .. name
  local page = redis.call('HSCAN', gates, '0', 'COUNT', limit)[2]
  local fields, counters = {}, {}
  for i = 1, #page, 2 do
    fields[#fields + 1] = page[i]
    counters[#counters + 1] = base .. ':cc:' .. name .. ':' .. page[i] .. ':count'
    counters[#counters + 1] = base .. ':cc:' .. name .. ':' .. page[i] .. ':done'
  end
  many.unlink(counters)
  many.call('HDEL', gates, fields)
  left = left - #fields
  if redis.call('EXISTS', gates) == 0 then redis.call('SREM', keys.trash(base), name) end
end

local function given_up()
  return redis.call('ZRANGEBYSCORE', keys.copies(base), '-inf', q.now, 'LIMIT', 0, 1)[1]
end

local function due()
  local rid = redis.call('ZRANGEBYSCORE', ended, '-inf', q.now, 'LIMIT', 0, 1)[1]
  if rid then return rid end
  if keep > 0 and redis.call('ZCOUNT', ended, '-inf', ending.NEVER - 1) > keep then return redis.call('ZRANGE', ended, 0, 0)[1] end
end

-- Never a job that has gone to another lane meanwhile (H03).
local function drop_job(lane, id)
  local counts = {failed = 'failed', completed = 'completed_kept'}
  if redis.call('HGET', keys.job(base, id), 'state') ~= lane then return end
  if redis.call('LREM', base .. ':' .. lane, -1, id) > 0 then queue.count(q, counts[lane], -1) end
  queue.index(q, lane, id)
  q.dead[#q.dead + 1] = keys.job(base, id)
end

-- Failed jobs of a slice of step runs; the facts go with them, so the next call goes on.
local function drop_facts(r)
  redis.call('HSET', r.keys.header, 'purging', '1')
  local page = redis.call('HSCAN', r.keys.states, '0', 'COUNT', limit)[2]
  local ids = {}
  for i = 1, #page, 2 do
    ids[#ids + 1] = page[i]
    local epoch = string.match(page[i + 1], '^F(%d+)')
    if epoch then drop_job('failed', 'f.' .. r.rid .. '.' .. page[i] .. '.' .. epoch) end
  end
  many.call('HDEL', r.keys.states, ids)
  left = left - math.max(#ids, 1)
  return redis.call('EXISTS', r.keys.states) == 0
end

local function drop_values(r)
  local values = {}
  for _, name in ipairs(redis.call('SPOP', r.keys.big, limit)) do
    local id, epoch = string.match(name, '^(.*):(%d+)$')
    values[#values + 1] = run_keys.value(base, r.rid, id, epoch)
  end
  many.unlink(values)
  left = left - #values
  return redis.call('EXISTS', r.keys.big) == 0
end

-- Failed jobs of step runs that were worked again since.
local function drop_superseded(r)
  local jobs = redis.call('SPOP', r.keys.superseded, limit)
  for _, name in ipairs(jobs) do drop_job('failed', 'f.' .. r.rid .. '.' .. name) end
  left = left - #jobs
  return redis.call('EXISTS', r.keys.superseded) == 0
end

-- Ids whose jobs are gone do not keep a group.
local function drop_ghosts(list)
  for _, id in ipairs(redis.call('LRANGE', list, 0, 99)) do
    if redis.call('EXISTS', keys.job(base, id)) == 1 then return end
    redis.call('LPOP', list)
    queue.index(q, 'wait', id)
    queue.count(q, 'group_waiting', -1)
    queue.count(q, 'waiting_total', -1)
  end
end

local function is_leased(r)
  for _, id in ipairs(redis.call('ZRANGE', base .. ':active', 0, -1)) do
    if string.find(id, 'f.' .. r.rid .. '.', 1, true) == 1 then return true end
  end
end

local function drop_group(r)
  if r.gid ~= r.rid then return end
  local prefix = base .. ':g:' .. r.gid
  drop_ghosts(prefix .. ':wait')
  if redis.call('EXISTS', prefix .. ':wait') == 0 and (num.read(redis.call('GET', prefix .. ':inflight')) == 0 or not is_leased(r)) then
    redis.call('UNLINK', prefix .. ':inflight', prefix .. ':limit')
    if redis.call('ZREM', base .. ':groups:ready', r.gid) == 1 then queue.count(q, 'groups_ready', -1) end
  end
end

local function drop_rest(r)
  for _, id in ipairs(redis.call('LRANGE', base .. ':completed', 0, -1)) do
    if string.find(id, 'f.' .. r.rid .. '.', 1, true) == 1 then drop_job('completed', id) end
  end
  drop_group(r)
  local have = redis.call('HMGET', r.keys.header, 'flow', 'key')
  if have[2] and have[2] ~= '' and redis.call('GET', keys.run_key(base, have[1], have[2])) == r.rid then
    redis.call('UNLINK', keys.run_key(base, have[1], have[2]))
  end
  local k = r.keys
  redis.call('UNLINK', k.header, k.outputs, k.tallies, k.history, k.tokens, k.log, k.gates, k.parked, k.rests, k.work, k.asked, k.only, k.reach)
  redis.call('ZREM', keys.live(base), r.rid)
  if redis.call('HINCRBY', keys.plan(base, r.sha), '_runs', -1) <= 0 then redis.call('UNLINK', keys.plan(base, r.sha)) end
end

empty_trash()
local copy, is_gone = given_up(), true
while copy and left > 0 do
  left, is_gone = copies.drop(base, copy, left)
  if not is_gone then break end
  left, copy = left - 1, given_up()
end
local rid = due()
while rid and left > 0 do
  local ctx = run.open(q)
  local r = run.load(ctx, rid)
  if r then types.check({r.keys.states, 'hash', r.keys.big, 'set', r.keys.superseded, 'set'}) end
  if not r or (drop_facts(r) and drop_values(r) and drop_superseded(r)) then
    if r then drop_rest(r) end
    redis.call('ZREM', ended, rid)
    purged = purged + 1
  end
  rid = due()
end
queue.settle(q)
queue.flush(q)
return {'OK', purged, (rid or copy or redis.call('EXISTS', keys.trash(base)) == 1) and 1 or 0}
