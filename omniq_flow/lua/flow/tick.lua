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
--- @soon "hop"
--- @soon "direct"
--- @later "many"
--- @later "queue"
--- @later "take"
--- @lazy "settle"
--- @lazy "report"
--- @lazy "handout"
local MOST = 64

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

-- When something is due, and when it is other than a lease.
local function soonest()
  local other = math.min(first_score(base .. ':delayed'), first_score(keys.live(base)))
  return math.min(other, first_score(base .. ':active')), other
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
local at, other = 0, 0
if not is_sent_again then at, other = soonest() end
local found = n_items == 0 and at > now and (want == 0 and {} or straight.next(base, want))
if found then
  if #found > 0 then straight.take(base, now, found, straight.read(base), salt, holder) end
  for _, job in ipairs(found) do hand_over(job) end
  -- Who is full leaves the rest to the next that is idle.
  local is_more = want > 0 and #found == want and redis.call('EXISTS', base .. ':wait') == 1
  return finish({}, #found < math.max(want, 1) and math.min(at, first_until) or 0, {}, is_more and 1 or 0)
end

soon()
-- room: so many bytes of inputs are handed over inline.
local beat = {
  anchor = KEYS[1], now = now, argv = ARGV, n_items = n_items, want = want, budget = budget, room = {bytes = 262144}, is_leased = {},
  is_due = at <= now,
}
if n_items > 0 then
  local ids = {}
  for i = 1, n_items do ids[i] = ARGV[3 + i * 6] end
  for i, score in ipairs(types.read('zset', 'ZMSCORE', base .. ':active', unpack(ids))) do beat.is_leased[ids[i]] = score end
end

-- What ended is simple and nothing is due. `following`: what is taken besides, if that is as simple.
if n_items > 0 and not beat.is_due and budget >= hop.UNITS then
  local short = hop.read(hop.open(base, now, beat.room), ARGV, 9, n_items, beat.is_leased)
  local following, is_more = direct.plan(short, n_items, want), false
  if following then
    direct.write(short, salt, holder)
    for _, job in ipairs(following) do hand_over(job.lease, job.sha, job.fact, job.inputs) end
  else
    following = direct.next(short, n_items, want)
    if following then
      direct.exchange(short, following, salt, holder)
      for _, job in ipairs(following) do hand_over(job) end
      is_more = #following > 0 and #following == want and redis.call('EXISTS', base .. ':wait') == 1
    end
  end
  if following then
    local codes = {}
    for i = 1, n_items do codes[i] = 'OK' end
    local next_ms = (#jobs < want or want == 0) and math.min(other, first_score(base .. ':active')) or 0
    return finish(codes, next_ms, {}, is_more and 1 or 0)
  end
  beat.short = short
end

later()

-- Everything else: planned, written, and then taken.
local function go_on()
  local q, short, ctx, codes, orphans, to_sweep
  if n_items > 0 or beat.is_due then
    q, short, ctx, codes, orphans, to_sweep = report.plan(beat)
  else
    q, short, codes, orphans, to_sweep = queue.open(KEYS[1], now), hop.open(base, now, beat.room), {}, {}, {}
  end
  if want > 0 and not is_sent_again then take.check(q) end
  queue.check_planned(q)
  hop.write(short)
  if ctx then settle.commit(ctx) else queue.settle(q) end
  many.call('ZREM', keys.live(base), orphans)

  -- Then take.
  local useless, out = 0, handout.open(q, short, ctx, hand_over)
  if is_sent_again then
    handout.again(out, last)
  elseif want > 0 then
    useless = handout.fresh(out, want, salt, holder)
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
end

return go_on()
