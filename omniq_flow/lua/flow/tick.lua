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
--- @include "types"
--- @include "keys"
--- @include "straight"
--- @include "wake"
--- @later "many"
--- @later "queue"
--- @later "take"
--- @lazy "settle"
--- @lazy "run"
--- @lazy "reopen"
--- @lazy "handover"
local MOST = 64

local now = clock.now(ARGV[1])
local worker, request, salt = ARGV[2], ARGV[3], ARGV[4]
-- A worker beats through channels, each called by its name and a number.
local holder = string.match(worker, '^(.+)%.%d+$') or worker
local want, idle_ms, budget, n_items = num.read(ARGV[5]), num.read(ARGV[6]), num.positive(ARGV[7], 256), num.read(ARGV[8])
if n_items > MOST or want > MOST then return {err = 'BAD_ARGS at most 64 items and 64 jobs a call'} end
local base = keys.base(KEYS[1])
local taken_key = keys.taken(base, worker)

local function soonest()
  local function first_score(key)
    return tonumber(types.read('zset', 'ZRANGE', key, 0, 0, 'WITHSCORES')[2]) or math.huge
  end
  return math.min(first_score(base .. ':delayed'), first_score(base .. ':active'), first_score(keys.live(base)))
end

local last = types.read('string', 'GET', taken_key)
local is_sent_again = last and request ~= '' and string.sub(last, 1, #request + 1) == request .. '\n'
local jobs, lines, first_until = {}, {request}, math.huge

-- plan, fact and inputs of a step run; nothing of a plain job.
local function hand_over(job, plan, fact, inputs)
  jobs[#jobs + 1] = {
    job.id, job.token, job.until_ms, job.attempt, job.max_attempts, job.gid, job.seq, plan and '' or job.payload, plan or '', fact or '', inputs or {},
  }
  first_until = math.min(first_until, job.until_ms)
  lines[#lines + 1] = job.id .. ' ' .. job.token .. ' ' .. num.text(job.seq)
end

-- offered: how many jobs can be taken that could not before, or are left to others.
local function finish(codes, next_ms, to_sweep, offered)
  if #jobs > 0 and not is_sent_again then redis.call('SET', taken_key, table.concat(lines, '\n'), 'PX', 60000) end
  if idle_ms > 0 and #jobs < math.max(want, 1) then
    redis.pcall('ZADD', keys.idle(base), now + idle_ms, holder)
  elseif idle_ms > 0 then
    redis.pcall('ZREM', keys.idle(base), holder)
  end
  if offered > 0 then wake.notify(base, now, offered) end
  return {now, codes, jobs, next_ms == math.huge and 0 or next_ms, to_sweep}
end

-- Nothing ended, nothing is due: an idle worker looks whether there is something to take. Nearly always there is nothing, and
-- all that is written is that it waits; or there are plain jobs.
local at = n_items == 0 and not is_sent_again and soonest() or 0
local found = at > now and (want == 0 and {} or straight.next(base, want))
if found then
  if #found > 0 then straight.take(base, now, found, salt, holder) end
  for _, job in ipairs(found) do hand_over(job) end
  -- Who is full leaves the rest to the next that is idle.
  local is_more = want > 0 and #found == want and redis.call('EXISTS', base .. ':wait') == 1
  return finish({}, #found < math.max(want, 1) and math.min(at, first_until) or 0, {}, is_more and 1 or 0)
end

later()
local q, ctx, codes, to_sweep = queue.open(KEYS[1], now), nil, {}, {}

-- What is needed of runs by what is taken: nothing may have been settled.
local function open_runs()
  local INLINE_BYTES = 262144
  if not ctx then ctx = settle.open(q, 0) end
  if not ctx.bytes then ctx.bytes, ctx.lists = INLINE_BYTES, {} end
end

-- What the id of a step run's job says; nil of a plain job.
local function step_run(id)
  local f = keys.parse(id)
  if f then open_runs() end
  return f
end

-- What ended, is due or lapsed, and what follows from it.
local function plan_around_damage()
  -- Runs that turned out to be damaged, and why: they end here, so that they hold up nobody else.
  local damaged = {}

  -- All of it in memory: nothing is written before `settle.commit`, so it can be thrown away and done again.
  local function plan()
    local UPKEEP, DUE_RUNS = 100, 8
    local q = queue.open(KEYS[1], now)
    q.is_taken_from = want > 0
    local ctx = settle.open(q, budget, damaged)
    local codes, due, orphans, to_sweep = {}, {}, {}, {}
    if n_items > 0 then settle.read_leases(ctx, ARGV, 9, 6) end
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
    return q, ctx, codes, orphans, to_sweep
  end

  while true do
    local is_good, planned, ctx, codes, orphans, to_sweep = pcall(plan)
    if is_good then return planned, ctx, codes, orphans, to_sweep end
    local text = type(planned) == 'table' and planned.err or tostring(planned)
    local rid = string.match(text, '^DAMAGED run (%w+)') or string.match(text, '^NO_PLAN run (%w+)')
    if not rid or damaged[rid] then error(planned) end
    damaged[rid] = text
  end
end

local orphans = {}
if at <= now then q, ctx, codes, orphans, to_sweep = plan_around_damage() end
if want > 0 and not is_sent_again then take.check(q) end
queue.check_planned(q)
if ctx then settle.commit(ctx) end
many.call('ZREM', keys.live(base), orphans)

-- Then take.
local function take_again(text)
  for id, token, seq in string.gmatch(text, '\n([^\n]+) (%x+) (%d+)') do
    local have = redis.call('HMGET', keys.job(base, id), 'lease_token', 'lock_until_ms', 'attempt', 'max_attempts', 'gid', 'payload')
    local f = step_run(id)
    local r = f and run.load(ctx, f.rid)
    local job = {
      id = id, token = token, until_ms = num.read(have[2]), attempt = num.read(have[3]), max_attempts = num.read(have[4]), gid = have[5] or '',
      seq = tonumber(seq), payload = have[6] or '',
    }
    if have[1] == token and not f then
      hand_over(job)
    elseif have[1] == token and r then
      hand_over(job, handover.tell(ctx, f))
    end
  end
end

-- Gives how many jobs were taken that are of no use: more of them may stand before what can be begun.
local function take_new()
  local TRIES, PAUSED_MS = 10, 5000
  local function is_held(gid)
    open_runs()
    return handover.is_held(ctx, gid)
  end
  local t, cancelled, useless = take.open(q, 1, is_held), {}, 0
  while t and #jobs < want and useless < TRIES do
    local job = take.next(q, t)
    if not job then break end
    local f = step_run(job.id)
    local verdict = f and handover.verdict(ctx, f) or 'begin'
    if verdict == 'begin' then
      take.lease(q, t, job, salt, holder)
      if f then hand_over(job, handover.tell(ctx, f)) else hand_over(job) end
    elseif verdict == 'later' then
      useless = useless + 1
      take.put_off(q, t, job, now + PAUSED_MS)
    else
      useless = useless + 1
      take.discard(q, t, job)
      if handover.put_away(ctx, f) then cancelled[#cancelled + 1] = f end
    end
  end
  if t then take.close(q, t) end
  if #cancelled > 0 then handover.cancel(q, cancelled) end
  return useless
end

local useless = 0
if is_sent_again then
  take_again(last)
elseif want > 0 then
  useless = take_new()
end
q.made = {}
queue.settle(q)
queue.flush(q)

local is_full = #jobs == want
local is_left = (useless > 0 or #jobs > 0 and is_full) and redis.call('EXISTS', base .. ':wait', base .. ':groups:ready') > 0
local next_ms = 0
if useless > 0 and not is_full and is_left then
  next_ms = now
elseif not is_full or want == 0 then
  next_ms = soonest()
end
return finish(codes, next_ms, to_sweep, math.max(q.offered, #jobs > 0 and is_full and is_left and 1 or 0))
