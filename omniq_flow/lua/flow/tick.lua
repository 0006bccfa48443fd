#!lua flags=allow-oom
--[[
  tick: a worker's beat. Settle what finished, promote what is due, reap what lapsed, let runs go on, take what is next.

  KEYS  anchor
  ARGV  now_ms worker request salt take idle_ms budget n_items items...
  Reply now_ms codes jobs next_ms runs_to_sweep

  An item is six arguments: job_id token kind number value error; kind is ok, list, skip, fail, fatal or release;
  number is a list's length, or the ms until a failed or released job is due (of a failed one −1: its own back-off).
  Codes, one an item: OK, RETRY, FAILED;
  DUP (applied before), STALE (the run went on without it; acked), GONE (no such run; acked), LOST (not your lease),
  BAD_LIST (not all elements are staged), CANCELLED (it did not end well, and its run is being cancelled). A job is id token until_ms attempt max_attempts gid seq payload plan fact inputs;
  of a plain job the last three are empty. next_ms is when something is due (0: nothing is known), runs_to_sweep are
  runs to look after. Sent again with the same request it gives the same leases, and DUP for what ended a step run
  (LOST for a retry, a release and a plain job: applied as well).
  Items are settled at most 64 a call, 64 jobs taken, 100 promoted, 100 reaped; a run makes at most `budget` (256)
  step runs beyond each item's own. With idle_ms a worker that got less than it wants is woken within that time when work comes.
]]
--- @include "num"
--- @include "clock"
--- @include "many"
--- @include "types"
--- @include "keys"
--- @include "queue"
--- @include "take"
--- @include "wake"
--- @later "settle"
--- @later "inputs"
--- @later "run"
--- @later "reopen"
local MOST, UPKEEP, DUE_RUNS, INLINE_BYTES, TRIES, PAUSED_MS = 64, 100, 8, 262144, 10, 5000

local now = clock.now(ARGV[1])
local worker, request, salt = ARGV[2], ARGV[3], ARGV[4]
-- A worker beats through channels, each called by its name and a number.
local holder = string.match(worker, '^(.+)%.%d+$') or worker
local want, idle_ms, budget, n_items = num.read(ARGV[5]), num.read(ARGV[6]), num.positive(ARGV[7], 256), num.read(ARGV[8])
if n_items > MOST or want > MOST then return {err = 'BAD_ARGS at most 64 items and 64 jobs a call'} end
local base = keys.base(KEYS[1])
local taken_key = keys.taken(base, worker)

local function first_score(key)
  return tonumber(types.read('zset', 'ZRANGE', key, 0, 0, 'WITHSCORES')[2]) or math.huge
end

local function soonest()
  return math.min(first_score(base .. ':delayed'), first_score(base .. ':active'), first_score(keys.live(base)))
end

local function next_of(at) return at == math.huge and 0 or at end

local last = types.read('string', 'GET', taken_key)
local is_sent_again = last and request ~= '' and string.sub(last, 1, #request + 1) == request .. '\n'

-- Nothing ended, nothing is due: there may be jobs to take, but nearly always an idle worker finds none. Seen by a few
-- reads, and all that is written is that it waits.
local at = n_items == 0 and not is_sent_again and soonest() or 0
if at > now and (want == 0 or redis.call('EXISTS', base .. ':wait', base .. ':groups:ready') == 0) then
  if idle_ms > 0 then redis.call('ZADD', keys.idle(base), now + idle_ms, holder) end
  return {now, {}, {}, next_of(at), {}}
end

-- Runs that turned out to be damaged, and why: they end here, so that they hold up nobody else.
local damaged = {}

-- All of it in memory: nothing is written before `settle.commit`, so it can be thrown away and done again.
local function plan()
  local q = queue.open(KEYS[1], now)
  local ctx = settle.open(q, budget, damaged)
  local codes, due, orphans, to_sweep = {}, {}, {}, {}
  for rid in pairs(damaged) do run.load(ctx, rid) end
  for i = 1, n_items do
    local at = 8 + (i - 1) * 6
    codes[i] = settle.item(ctx, {
      id = ARGV[at + 1], token = ARGV[at + 2], kind = ARGV[at + 3], number = num.read(ARGV[at + 4]), value = ARGV[at + 5], error = ARGV[at + 6],
    })
  end
  for _, id in ipairs(types.read('zset', 'ZRANGEBYSCORE', base .. ':delayed', '-inf', now, 'LIMIT', 0, UPKEEP)) do settle.due(ctx, id) end
  for _, id in ipairs(types.read('zset', 'ZRANGEBYSCORE', base .. ':active', '-inf', now, 'LIMIT', 0, UPKEEP)) do settle.lapsed(ctx, id) end
  for _, rid in ipairs(types.read('zset', 'ZRANGEBYSCORE', keys.live(base), '-inf', now, 'LIMIT', 0, DUE_RUNS)) do
    local r = run.load(ctx, rid)
    if r and not run.is_over(r) then
      -- What is queued has a state: without one nobody would ever hear that it ended.
      if r.open > 0 and redis.call('EXISTS', r.keys.states) == 0 then error({err = 'DAMAGED run ' .. rid .. ': its states are gone'}) end
      r.was_due = true
      due[#due + 1] = r
    elseif r and reopen.is_due(r) then
      reopen.begin(ctx, r, {}, true, 'asked')
    else
      orphans[#orphans + 1] = rid
    end
  end
  settle.conclude(ctx, budget)
  settle.check(ctx)
  -- Due without work that can go on: its time to be looked after.
  for _, r in ipairs(due) do
    if not run.is_over(r) and not r.is_due then to_sweep[#to_sweep + 1] = r.rid end
  end
  return {q = q, ctx = ctx, codes = codes, orphans = orphans, to_sweep = to_sweep}
end

local function plan_around_damage()
  while true do
    local is_good, planned = pcall(plan)
    if is_good then return planned end
    local text = type(planned) == 'table' and planned.err or tostring(planned)
    local rid = string.match(text, '^DAMAGED run (%w+)') or string.match(text, '^NO_PLAN run (%w+)')
    if not rid or damaged[rid] then error(planned) end
    damaged[rid] = text
  end
end

local q, ctx, codes, to_sweep = nil, nil, {}, {}

-- The runs as this call knows them, for what is taken: nothing may have been settled.
local function runs()
  if not ctx then ctx = settle.open(q, 0) end
  if not ctx.bytes then ctx.bytes, ctx.lists = INLINE_BYTES, {} end
  return ctx
end

local function check()
  queue.check_planned(q)
  if want > 0 and not is_sent_again then take.check(q) end
end

if at > now then
  q = queue.open(KEYS[1], now)
  check()
else
  local planned = plan_around_damage()
  q, ctx, codes, to_sweep = planned.q, planned.ctx, planned.codes, planned.to_sweep
  check()
  settle.commit(ctx)
  many.call('ZREM', keys.live(base), planned.orphans)
end

-- Then take.
local jobs, lines = {}, {request}

local function hand_over(job)
  local f = keys.parse(job.id)
  local reply = {job.id, job.token, job.until_ms, job.attempt, job.max_attempts, job.gid, job.seq, '', '', '', {}}
  if f then
    local r = run.load(runs(), f.rid)
    reply[9], reply[10], reply[11] = r.sha, run.fact(r, f.id), inputs.read(runs(), r, f.step, f.x)
  else
    reply[8] = job.payload
  end
  jobs[#jobs + 1] = reply
  lines[#lines + 1] = job.id .. ' ' .. job.token .. ' ' .. num.text(job.seq)
end

-- The step run must still wait for this job, else the job is of no use.
local function is_wanted(job)
  local f = keys.parse(job.id)
  if not f then return true end
  local r = run.load(runs(), f.rid)
  local fact = r and run.fact(r, f.id)
  return fact and run.is_going(r) and string.match(fact, '^Q(%d+)') == f.epoch
end

-- The group of a run of its own that is paused. What waits in it stays there.
local function is_held(gid)
  if #gid ~= 26 then return false end
  local is_good, r = pcall(run.load, runs(), gid)
  return is_good and r and r.gid == gid and run.is_paused(r)
end

-- A job of a paused run from a list that others share.
local function is_paused(job)
  local f = keys.parse(job.id)
  return f and run.is_paused(run.load(runs(), f.rid))
end

local function is_cancelled(job)
  local f = keys.parse(job.id)
  local r = run.load(runs(), f.rid)
  return r and r.state == 'cancelling' and string.match(run.fact(r, f.id) or '', '^Q(%d+)') == f.epoch and f
end

local function adopt(job)
  local f = keys.parse(job.id)
  local r = run.load(runs(), f.rid)
  if r then reopen.adopt(runs(), r, f) end
end

-- A job of a run that is being cancelled was taken instead of begun: its step run is over.
local function cancel_taken(taken)
  local late = settle.open(q, 0)
  for _, f in ipairs(taken) do
    -- What can fail comes first: after the commit above nothing may, and the sweep looks after what is left.
    local is_good, r = pcall(function()
      local found = run.load(late, f.rid)
      run.step(late, found, f.step)
      return found
    end)
    if is_good then settle.cancel_step(late, r, f) end
  end
  settle.conclude(late, 0)
  if pcall(settle.check, late) then settle.commit(late) end
end

local function take_again(text)
  for id, token, seq in string.gmatch(text, '\n([^\n]+) (%x+) (%d+)') do
    local have = redis.call('HMGET', keys.job(base, id), 'lease_token', 'lock_until_ms', 'attempt', 'max_attempts', 'gid', 'payload')
    local f = keys.parse(id)
    local r = f and run.load(runs(), f.rid)
    if have[1] == token and (r or not f) then
      hand_over({
        id = id, token = token, until_ms = num.read(have[2]), attempt = num.read(have[3]), max_attempts = num.read(have[4]), gid = have[5] or '',
        seq = tonumber(seq), payload = have[6] or '',
      })
    end
  end
end

-- How many jobs were taken that are of no use: more of them may stand before what can be begun.
local useless = 0

local function take_new()
  local t, cancelled = take.open(q, 1, is_held), {}
  while t and #jobs < want and useless < TRIES do
    local job = take.next(q, t)
    if not job then break end
    -- Popped already: what cannot be read now is looked at again later.
    local is_read, has_use = pcall(is_wanted, job)
    if not is_read or has_use and is_paused(job) then
      useless = useless + 1
      take.put_off(q, t, job, now + PAUSED_MS)
    elseif has_use then
      take.lease(q, t, job, salt, holder)
      hand_over(job)
    else
      useless = useless + 1
      take.discard(q, t, job)
      local f = is_cancelled(job)
      if f then cancelled[#cancelled + 1] = f else adopt(job) end
    end
  end
  if t then take.close(q, t) end
  if #cancelled > 0 then cancel_taken(cancelled) end
  if #jobs > 0 then redis.call('SET', taken_key, table.concat(lines, '\n'), 'PX', 60000) end
end

if is_sent_again then
  take_again(last)
elseif want > 0 then
  take_new()
end
queue.settle(q)
queue.flush(q)

local next_ms = 0
if useless > 0 and #jobs < want and redis.call('EXISTS', base .. ':wait', base .. ':groups:ready') > 0 then
  next_ms = now
elseif #jobs < want or want == 0 then
  next_ms = next_of(soonest())
end
if idle_ms > 0 then
  if #jobs < want then
    redis.call('ZADD', keys.idle(base), now + idle_ms, holder)
  else
    redis.call('ZREM', keys.idle(base), holder)
  end
end
-- Who is full leaves the rest to the next that is idle.
local is_more = #jobs > 0 and #jobs == want and redis.call('EXISTS', base .. ':wait', base .. ':groups:ready') > 0
if q.offered > 0 or is_more then wake.notify(base, now, math.max(q.offered, 1)) end
return {now, codes, jobs, next_ms, to_sweep}
