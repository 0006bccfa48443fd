--[[
  How a leased job ends: reported by its worker, or found lapsed. One item is checked and applied alone; what it
  does to its run follows at once, as far as the budget goes (levels §4). Everything happens in memory until
  `settle.commit`, so an error leaves all as it was.

  The token fences the lease, the epoch the dispatch: an item that fails the first is LOST (or DUP, when this very
  token completed this dispatch before); one that fails the second is acked, noted and never applied (R1, R4, R8).
]]
--- @include "num"
--- @include "keys"
--- @include "run_keys"
--- @include "many"
--- @include "queue"
--- @include "lease"
--- @include "run"
--- @include "write"
--- @include "advance"
local settle = {}

local ITEM_UNITS = 8
local INLINE = 65536
local READ = {'lease_token', 'gid', 'attempt', 'max_attempts', 'backoff_ms'}
local READ_HOLDER = {'flow_worker', 'last_started_ms', 'lock_until_ms', 'timeout_ms'}
-- What counts of a handler that ended while its run was being cancelled.
local KEPT = {ok = true, list = true, skip = true}

-- damaged: runs that are to end at once, and why; is_leased: the score in `active` by id, of all that are settled.
function settle.open(q, budget, damaged, is_leased)
  local ctx = run.open(q)
  ctx.damaged, ctx.is_leased = damaged or {}, is_leased
  ctx.budget, ctx.values, ctx.stale = budget, {}, {}
  return ctx
end

-- A record of another type counts as none: one damaged job must not stop the others (D9).
local function read_job(ctx, id)
  local have = redis.pcall('HMGET', keys.job(ctx.base, id), unpack(READ))
  if have.err then have = {} end
  return {
    is_there = have[3] and true, id = id, token = have[1], gid = have[2], attempt = num.read(have[3]),
    max = math.max(num.read(have[4]), 1), backoff = num.read(have[5]),
  }
end

local function leave(ctx, job)
  queue.leave_active(ctx.q, job.id, job.gid)
end

-- Whether this step run is still waiting for this very job.
function settle.awaited(ctx, f)
  local r = run.load(ctx, f.rid)
  if not r then return nil, 'GONE' end
  if run.is_over(r) then return nil, 'STALE', r end
  local fact = run.fact(r, f.id)
  if not fact or string.sub(fact, 1, 1) ~= 'Q' or string.match(fact, '^Q(%d+)') ~= f.epoch then return nil, 'STALE', r end
  return r
end

local function drain(ctx, r)
  advance.drain(ctx, r, math.min(ITEM_UNITS, ctx.budget))
end

local function store(ctx, r, f, value)
  if #value <= INLINE then
    r.out[f.id] = '=' .. value
    return
  end
  ctx.values[run_keys.value(ctx.base, f.rid, f.id, f.epoch)] = value
  r.big[#r.big + 1] = f.id .. ':' .. f.epoch
  r.out[f.id] = '@' .. f.epoch
end

local function succeed(ctx, r, f, item)
  if item.kind == 'skip' then
    run.set(r, f.step, f.x, 'S', tonumber(f.epoch))
    return 's'
  end
  if item.kind == 'list' then
    run.set(r, f.step, f.x, 'D', tonumber(f.epoch), ':' .. num.text(item.number))
    r.out[f.id] = '#' .. f.epoch .. ':' .. num.text(item.number)
  else
    run.set(r, f.step, f.x, 'D', tonumber(f.epoch))
    store(ctx, r, f, item.value)
  end
  return 'v'
end

-- A step run fails, and its run goes on as far as one item may lead.
function settle.fail_step(ctx, r, f, failure)
  run.set(r, f.step, f.x, 'F', tonumber(f.epoch))
  r.out[f.id] = '!' .. failure
  ctx.stale[#ctx.stale + 1] = run_keys.value(ctx.base, f.rid, f.id, f.epoch)
  advance.close(ctx, r, f.step)
  advance.settled(ctx, r, f.step, f.x, 'f', tonumber(f.epoch))
  drain(ctx, r)
end

-- A step run whose run is being cancelled gives up its job. What it laid down goes.
function settle.cancel_step(ctx, r, f)
  ctx.stale[#ctx.stale + 1] = run_keys.value(ctx.base, f.rid, f.id, f.epoch)
  run.set(r, f.step, f.x, 'X', tonumber(f.epoch))
  advance.close(ctx, r, f.step)
end

-- A list that is mapped must be there in full before it counts, and may not come as one value.
local function is_staged(ctx, r, f, item)
  if item.kind == 'ok' then return not run.step(ctx, r, f.step).m end
  local key = run_keys.value(ctx.base, f.rid, f.id, f.epoch)
  return item.kind ~= 'list' or item.number == 0 or redis.call('HLEN', key) == item.number
end

-- Back to its lane; the attempt is not counted.
local function release(ctx, job, item)
  leave(ctx, job)
  queue.write_job(ctx.q, job.id, {'attempt', num.text(math.max(job.attempt - 1, 0))})
  if item.number > 0 then
    queue.delay(ctx.q, job.id, ctx.q.now + item.number)
  else
    queue.write_job(ctx.q, job.id, {'state', 'wait', 'updated_ms', num.text(ctx.q.now), 'lease_token', '', 'lock_until_ms', ''})
    queue.push(ctx.q, job.id, job.gid)
  end
  return 'OK'
end

-- Another attempt later, if one is left.
local function try_again(ctx, job, f, r, due, text)
  if job.attempt >= job.max then return false end
  leave(ctx, job)
  queue.note_error(ctx.q, job.id, text)
  queue.delay(ctx.q, job.id, due)
  if r then run.again(r, f, job.attempt) end
  return true
end

local function give_up(ctx, job, f, r, failure, text)
  leave(ctx, job)
  queue.note_error(ctx.q, job.id, text)
  queue.fail(ctx.q, job.id)
  if r then settle.fail_step(ctx, r, f, failure) end
end

-- The lease of a step run ends that is to be worked no more (levels §5).
local function end_cancelled(ctx, job, f, r, text)
  leave(ctx, job)
  queue.note_error(ctx.q, job.id, text)
  queue.complete(ctx.q, job.id)
  settle.cancel_step(ctx, r, f)
end

-- A job that its run does not wait for any more: acked and noted, never applied (R8).
local function put_away(ctx, job, f)
  leave(ctx, job)
  queue.complete(ctx.q, job.id)
  local r = run.load(ctx, f.rid)
  if r then run.event(r, 'stale ' .. f.id .. ' ' .. f.epoch) end
end

local function check(ctx, item)
  if ctx.q.active[item.id] ~= nil then return nil, 'LOST' end
  local job, f = read_job(ctx, item.id), keys.parse(item.id)
  if item.token ~= '' and job.token == item.token and ctx.is_leased[item.id] then return job, nil, f end
  local r = f and item.token ~= '' and run.load(ctx, f.rid)
  if r and redis.call('HGET', r.keys.tokens, f.id .. '.' .. f.epoch) == run_keys.mark(item.token) then return nil, 'DUP' end
  return nil, 'LOST'
end

-- item: id, token, kind (ok, list, skip, fail, fatal, release), number, value, error. Returns its code.
function settle.item(ctx, item)
  local job, refusal, f = check(ctx, item)
  if not job then return refusal end
  local q, r, why = ctx.q, nil, nil
  if f then
    r, why = settle.awaited(ctx, f)
    if r and not is_staged(ctx, r, f, item) then return 'BAD_LIST' end
  end
  queue.stamp(q, 'last_finish_ms')
  if why then
    put_away(ctx, job, f)
    return why
  end
  if r and r.state == 'cancelling' and not KEPT[item.kind] then
    r.done[f.id .. '.' .. f.epoch] = run_keys.mark(item.token)
    end_cancelled(ctx, job, f, r, item.error)
    return 'CANCELLED'
  end
  if item.kind == 'release' then return release(ctx, job, item) end
  -- Below zero: the back-off that the job's own record names.
  local delay = item.number < 0 and job.backoff or item.number
  if item.kind == 'fail' and try_again(ctx, job, f, r, q.now + delay, item.error) then return 'RETRY' end
  if item.kind == 'fail' or item.kind == 'fatal' then
    if r then r.done[f.id .. '.' .. f.epoch] = run_keys.mark(item.token) end
    give_up(ctx, job, f, r, item.value, item.error)
    return 'FAILED'
  end
  leave(ctx, job)
  queue.complete(q, job.id)
  if r then
    r.done[f.id .. '.' .. f.epoch] = run_keys.mark(item.token)
    local kind = succeed(ctx, r, f, item)
    advance.close(ctx, r, f.step)
    advance.settled(ctx, r, f.step, f.x, kind, tonumber(f.epoch))
    drain(ctx, r)
  end
  return 'OK'
end

-- An id among the leases whose job is gone; of ours it is known whose slot it took (H04).
local function drop_ghost(ctx, id, f)
  ctx.q.active[id] = false
  queue.index(ctx.q, 'active', id)
  queue.count(ctx.q, 'active', -1)
  local r = f and run.load(ctx, f.rid)
  if r then queue.release_slot(ctx.q, r.gid) end
end

local function seconds(ms)
  return string.format('%.1f s', math.max(ms, 0) / 1000)
end

-- What is told of a lost lease: who held it, for how long, and when it was extended last.
local function lost_text(ctx, job)
  local note, started, deadline, length = unpack(redis.call('HMGET', keys.job(ctx.base, job.id), unpack(READ_HOLDER)))
  local text, now = lease.lost_text(job), ctx.q.now
  local token, worker = string.match(note or '', '^(%x+) (.+)$')
  if not worker or token ~= job.token then return text end
  return text .. '; held by ' .. string.gsub(worker, '[^%w._-]', '-') .. ' for ' .. seconds(now - num.read(started))
    .. ', last extended ' .. seconds(now - num.read(deadline) + num.positive(length, 60000)) .. ' ago'
end

-- A lease that lapsed: another attempt, or the end (D4). Returns nothing; every id in `active` is dealt with.
function settle.lapsed(ctx, id)
  if ctx.q.active[id] ~= nil then return end
  local job, f = read_job(ctx, id), keys.parse(id)
  if not job.is_there then return drop_ghost(ctx, id, f) end
  local r = f and settle.awaited(ctx, f)
  if f and not r then return put_away(ctx, job, f) end
  local text = lost_text(ctx, job)
  if r and r.state == 'cancelling' then return end_cancelled(ctx, job, f, r, text) end
  if try_again(ctx, job, f, r, ctx.q.now + job.backoff, text) then return end
  give_up(ctx, job, f, r, '{"type":"LeaseLost","message":"' .. text .. '","step":"' .. (f and f.id or '') .. '","attempt":' .. num.text(job.attempt) .. '}', text)
end

-- A job whose time has come; an id without a job is dropped (D9).
function settle.due(ctx, id)
  if ctx.q.delayed[id] ~= nil then return end
  local have = redis.call('HMGET', keys.job(ctx.base, id), 'id', 'gid', 'state')
  if have[3] then
    queue.promote(ctx.q, id, have[2])
  else
    queue.drop_due(ctx.q, id)
  end
end

-- Shares `units` among the runs that have work left, the oldest first; then the verdicts.
function settle.conclude(ctx, units)
  table.sort(ctx.order)
  for _, rid in ipairs(ctx.order) do
    if units <= 0 then break end
    units = units - advance.drain(ctx, ctx.runs[rid], units)
  end
  for _, rid in ipairs(ctx.order) do advance.conclude(ctx, ctx.runs[rid]) end
end

-- After the last that is planned, and before the first write: raises if a key of a run has another type.
function settle.check(ctx)
  if ctx.is_checked then return end
  for _, rid in ipairs(ctx.order) do write.check(ctx, ctx.runs[rid]) end
  ctx.is_checked = true
end

-- Writes everything: runs, values, lanes. What was not checked yet is now.
function settle.commit(ctx)
  settle.check(ctx)
  for key, value in pairs(ctx.values) do redis.call('SET', key, value) end
  many.unlink(ctx.stale)
  for _, rid in ipairs(ctx.order) do write.run(ctx, ctx.runs[rid]) end
  queue.settle(ctx.q)
end

return settle
