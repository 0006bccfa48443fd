--[[
  One queue within one call: what is read is read once, what changes is kept here and written at the end.

  Three moments. *Plan*: jobs are moved in memory (`enqueue`, `leave_active`, `complete`, `fail`, `delay`, …);
  only reads happen, so an error leaves everything as it was. `settle` writes the lanes and groups, after
  which `take` may pop from them. `flush` writes leases, index sets and statistics. A group with waiting jobs
  and a free slot stands in the ready set after every `settle` (I11).
]]
--- @include "num"
--- @include "keys"
--- @include "many"
--- @include "group"
--- @include "record"
--- @include "stats"
--- @include "types"
local queue = {}

local LIMIT_ERROR = 4096

function queue.open(anchor, now)
  local base = keys.base(anchor)
  return {
    base = base, now = now, stats = stats.new(base .. ':stats'),
    groups = {}, index = {}, active = {}, delayed = {}, hashes = {}, made = {}, pushed = {}, completed = {}, failed = {},
    dead = {}, offered = 0,
  }
end

-- All shared keys of the queue, for operations that write before all is planned.
function queue.check(q)
  local b = q.base
  types.check({
    b .. ':wait', 'list', b .. ':active', 'zset', b .. ':delayed', 'zset', b .. ':completed', 'list', b .. ':failed', 'list',
    b .. ':groups:ready', 'zset', b .. ':stats', 'hash', b .. ':idx:wait', 'zset', b .. ':idx:active', 'zset',
    b .. ':idx:delayed', 'zset', b .. ':idx:failed', 'zset', b .. ':idx:completed', 'zset',
  })
end

-- The keys that the plan is going to write: after the plan, before the first write (H18).
function queue.check_planned(q)
  local b = q.base
  local expected, n = {}, 0
  for lane in pairs(q.index) do
    expected[n + 1], expected[n + 2] = b .. ':idx:' .. lane, 'zset'
    n = n + 2
  end
  for list in pairs(q.pushed) do
    expected[n + 1], expected[n + 2] = list, 'list'
    n = n + 2
  end
  if next(q.active) then expected[n + 1], expected[n + 2], n = b .. ':active', 'zset', n + 2 end
  if next(q.delayed) then expected[n + 1], expected[n + 2], n = b .. ':delayed', 'zset', n + 2 end
  if next(q.groups) then expected[n + 1], expected[n + 2], n = b .. ':groups:ready', 'zset', n + 2 end
  if #q.completed > 0 then expected[n + 1], expected[n + 2], n = b .. ':completed', 'list', n + 2 end
  if #q.failed > 0 then expected[n + 1], expected[n + 2], n = b .. ':failed', 'list', n + 2 end
  types.check(expected)
  stats.read(q.stats)
end

-- One of the times in the statistics is now.
function queue.stamp(q, field)
  stats.put(q.stats, field, q.now)
end

function queue.count(q, field, delta)
  stats.add(q.stats, field, delta)
end

local function index_of(q, lane)
  local set = q.index[lane]
  if not set then
    set = {}
    q.index[lane] = set
  end
  return set
end

-- The index sets serve monitors only: the last word of a call is what is written. score nil = out.
function queue.index(q, lane, id, score)
  index_of(q, lane)[id] = score or false
end

-- The first limit a group is given stays (wire §2).
function queue.set_limit(g, limit)
  if limit > 0 and not g.has_limit then
    g.limit, g.has_limit, g.new_limit = limit, true, true
  end
end

-- A lease ended: its slot is free again, never below zero.
function queue.release_slot(q, gid)
  if gid and gid ~= '' then
    local g = group.of(q, gid)
    g.inflight, g.is_dirty, g.may_serve = math.max(g.inflight - 1, 0), true, true
  end
end

-- ready: score, group, score, group, …
local function make_ready(q, ready)
  local SLICE, added = 1000, 0
  for i = 1, #ready, SLICE do
    added = added + redis.call('ZADD', q.base .. ':groups:ready', 'NX', unpack(ready, i, math.min(i + SLICE - 1, #ready)))
  end
  if added > 0 then
    queue.count(q, 'groups_ready', added)
    q.offered = q.offered + added
    q.may_be_ready = true
  end
end

function queue.make_ready(q, gid, score)
  make_ready(q, {score, gid})
end

-- Fields of a job's hash, written at `settle`.
function queue.write_job(q, id, fields)
  local hash = q.hashes[id]
  if not hash then
    q.hashes[id] = fields
    return
  end
  for i = 1, #fields do hash[#hash + 1] = fields[i] end
end

-- To the right end of its waiting list.
function queue.push(q, id, gid)
  local list, field = q.base .. ':wait', 'waiting'
  if gid and gid ~= '' then
    local g = group.of(q, gid)
    g.may_serve = true
    list, field = g.list, 'group_waiting'
  else
    q.offered = q.offered + 1
  end
  local ids = q.pushed[list]
  if not ids then
    ids = {}
    q.pushed[list] = ids
  end
  ids[#ids + 1] = id
  queue.index(q, 'wait', id, q.now)
  queue.count(q, field, 1)
  queue.count(q, 'waiting_total', 1)
end

-- A new job; the caller has made sure that its id is new (D2). job: payload, attempts, lease, backoff, gid, limit, due.
function queue.enqueue(q, id, job)
  local fields, gid = record.fresh(id, job, num.text(q.now)), job.gid
  if gid and gid ~= '' then
    q.has_groups = true
    queue.set_limit(group.of(q, gid), job.limit or 0)
  end
  queue.stamp(q, 'last_activity_ms')
  queue.stamp(q, 'last_enqueue_ms')
  if job.due and job.due > q.now then
    record.delay(fields, num.text(job.due))
    q.delayed[id] = job.due
    queue.index(q, 'delayed', id, q.now)
    queue.count(q, 'delayed', 1)
  else
    queue.push(q, id, gid)
    if q.is_taken_from then q.made[id] = job end
  end
  queue.write_job(q, id, fields)
end

-- An ended lease: out of `active`, slot given back. `gid` as the job's hash has it.
function queue.leave_active(q, id, gid)
  q.active[id] = false
  queue.index(q, 'active', id)
  queue.count(q, 'active', -1)
  queue.stamp(q, 'last_activity_ms')
  queue.release_slot(q, gid)
end

local function ended(q, state, time_field)
  local now = num.text(q.now)
  local fields = {'state', state, 'updated_ms', now, 'lease_token', '', 'lock_until_ms', ''}
  if time_field then
    fields[9], fields[10] = time_field, now
  end
  return fields
end

function queue.complete(q, id)
  queue.write_job(q, id, ended(q, 'completed', 'completed_ms'))
  queue.index(q, 'completed', id, q.now)
  q.completed[#q.completed + 1] = id
end

-- The leases of many jobs ended well, as `leave_active` and `complete` have it for each. jobs: id and, if it has one, group; at least one.
function queue.succeed(q, jobs)
  local active, leaving, completed, list = q.active, index_of(q, 'active'), index_of(q, 'completed'), q.completed
  local now, fields = q.now, ended(q, 'completed', 'completed_ms')
  for _, job in ipairs(jobs) do
    local id, g = job.id, job.group
    active[id], leaving[id], completed[id], q.hashes[id] = false, false, now, fields
    list[#list + 1] = id
    if g then
      g.inflight, g.is_dirty, g.may_serve = math.max(g.inflight - 1, 0), true, true
    end
  end
  queue.count(q, 'active', -#jobs)
  queue.stamp(q, 'last_activity_ms')
end

-- Many new jobs that wait, as `enqueue` has it for each. jobs: as there, with id and group, which has its limit.
function queue.enqueue_all(q, jobs)
  local now, at, waiting = q.now, num.text(q.now), index_of(q, 'wait')
  for _, job in ipairs(jobs) do
    local id, g = job.id, job.group
    local ids = q.pushed[g.list]
    if ids then
      ids[#ids + 1] = id
    else
      q.pushed[g.list] = {id}
    end
    g.may_serve, waiting[id], q.hashes[id] = true, now, record.fresh(id, job, at)
    if q.is_taken_from then q.made[id] = job end
  end
  q.has_groups = true
  queue.count(q, 'group_waiting', #jobs)
  queue.count(q, 'waiting_total', #jobs)
  queue.stamp(q, 'last_activity_ms')
  queue.stamp(q, 'last_enqueue_ms')
end

function queue.fail(q, id)
  queue.write_job(q, id, ended(q, 'failed', 'failed_ms'))
  queue.index(q, 'failed', id, q.now)
  queue.count(q, 'failed', 1)
  q.failed[#q.failed + 1] = id
end

function queue.delay(q, id, due)
  local fields = ended(q, 'delayed')
  fields[9], fields[10] = 'due_ms', num.text(due)
  queue.write_job(q, id, fields)
  queue.index(q, 'delayed', id, q.now)
  queue.count(q, 'delayed', 1)
  q.delayed[id] = due
end

-- Out of `delayed` and to its waiting list.
function queue.promote(q, id, gid)
  q.delayed[id] = false
  queue.index(q, 'delayed', id)
  queue.count(q, 'delayed', -1)
  queue.stamp(q, 'last_activity_ms')
  queue.write_job(q, id, {'state', 'wait', 'updated_ms', num.text(q.now)})
  queue.push(q, id, gid)
end

-- Jobs that stood in the waiting list of a group and were taken out of it.
function queue.cut_group(q, gid)
  local g = group.of(q, gid)
  g.was_cut, g.may_serve = true, true
end

-- An id in `delayed` that has no job (D9), or is to have none.
function queue.drop_due(q, id)
  q.delayed[id] = false
  queue.index(q, 'delayed', id)
  queue.count(q, 'delayed', -1)
end

-- At most 4,096 bytes, cut before a character, never inside one (D6).
function queue.cut(text)
  if #text <= LIMIT_ERROR then return text end
  local at = LIMIT_ERROR
  while at > 0 do
    local byte = string.byte(text, at + 1)
    if byte < 128 or byte >= 192 then break end
    at = at - 1
  end
  return string.sub(text, 1, at)
end

function queue.note_error(q, id, text)
  if text and text ~= '' then
    queue.write_job(q, id, {'last_error', queue.cut(text), 'last_error_ms', num.text(q.now)})
  end
end

local function write_zset(key, members)
  local add, drop, n = nil, nil, 0
  for id, score in pairs(members) do
    if score then
      add = add or {}
      add[n + 1], add[n + 2], n = score, id, n + 2
    else
      drop = drop or {}
      drop[#drop + 1] = id
    end
  end
  if drop then many.call('ZREM', key, drop) end
  if add then many.call('ZADD', key, add) end
end

-- Completed jobs beyond the newest hundred go, if they are still that (D5).
local function trim_completed(q, length)
  local kept, old, dead = record.trim(q.base, length)
  for _, key in ipairs(dead) do q.dead[#q.dead + 1] = key end
  for _, id in ipairs(old) do queue.index(q, 'completed', id) end
  stats.put(q.stats, 'completed_kept', kept)
end

-- How many jobs wait in a group: known from the last push, as long as only `take` pops.
function queue.count_waiting(g)
  g.waiting = g.waiting or redis.call('LLEN', g.list)
  return g.waiting
end

-- lengths: of the lists that were pushed to. Counters never fall below zero, so where groups leave the ready set as well, each is
-- dealt with in turn, by name.
local function settle_groups(q, lengths)
  local gids, ready, n, is_cut = {}, {}, 0, false
  for gid, g in pairs(q.groups) do
    gids[#gids + 1], is_cut = gid, is_cut or g.was_cut
  end
  if is_cut then table.sort(gids) end
  for _, gid in ipairs(gids) do
    local g = q.groups[gid]
    g.waiting = lengths[g.list]
    if g.new_limit then redis.call('SET', g.prefix .. ':limit', num.text(g.limit)) end
    if g.may_serve and g.inflight < g.limit and queue.count_waiting(g) > 0 then
      if is_cut then
        queue.make_ready(q, gid, q.now)
      else
        ready[n + 1], ready[n + 2], n = q.now, gid, n + 2
      end
    elseif g.was_cut and redis.call('ZREM', q.base .. ':groups:ready', gid) == 1 then
      -- It lost waiting jobs, and none of it can be taken now (Q12).
      queue.count(q, 'groups_ready', -1)
    end
    g.new_limit, g.may_serve, g.was_cut = nil, nil, nil
  end
  if n > 0 then make_ready(q, ready) end
end

-- Writes jobs, lanes and groups; `take` may follow, so jobs that were just made are kept for it.
function queue.settle(q)
  local lengths = {}
  for id, fields in pairs(q.hashes) do
    if not q.made[id] then
      redis.call('HSET', keys.job(q.base, id), unpack(fields))
      q.hashes[id] = nil
    end
  end
  for list, ids in pairs(q.pushed) do lengths[list] = many.call('RPUSH', list, ids) end
  q.n_wait = lengths[q.base .. ':wait'] or q.n_wait
  many.call('LPUSH', q.base .. ':failed', q.failed)
  if #q.completed > 0 then
    trim_completed(q, many.call('LPUSH', q.base .. ':completed', q.completed))
  end
  if q.has_groups then redis.call('SET', q.base .. ':has_groups', '1') end
  if next(q.groups) then settle_groups(q, lengths) end
  q.pushed, q.failed, q.completed, q.has_groups = {}, {}, {}, nil
end

-- Writes what is left: slots, leases, index sets, statistics. Call `settle` first.
function queue.flush(q)
  for _, g in pairs(q.groups) do
    if g.is_gone then
      redis.call('UNLINK', g.prefix .. ':inflight', g.prefix .. ':limit')
    elseif g.is_dirty then
      redis.call('SET', g.prefix .. ':inflight', num.text(g.inflight))
    end
  end
  write_zset(q.base .. ':active', q.active)
  write_zset(q.base .. ':delayed', q.delayed)
  for lane, members in pairs(q.index) do write_zset(q.base .. ':idx:' .. lane, members) end
  many.unlink(q.dead)
  stats.flush(q.stats)
end

return queue
