--[[
  What a beat takes: jobs are popped one by one, and leased if they can begin. A step run is handed its inputs, the short way
  (`hop`) if it is that simple.
]]
--- @include "num"
--- @include "keys"
--- @include "take"
--- @include "hop"
--- @include "run"
--- @include "settle"
--- @include "handover"
local handout = {}

local TRIES, PAUSED_MS = 10, 5000

-- hand_over(job, plan, fact, inputs): takes what is handed; the last three of step runs only.
function handout.open(q, short, ctx, hand_over)
  return {q = q, short = short, ctx = ctx, hand_over = hand_over}
end

-- What is needed of runs that are not simple: nothing of them may have been settled.
local function runs(o)
  if not o.ctx then o.ctx = settle.open(o.q, 0) end
  o.ctx.room, o.ctx.lists = o.short.room, o.ctx.lists or {}
  return o.ctx
end

-- The same leases once more; text: what was noted of them.
function handout.again(o, text)
  for id, token, seq in string.gmatch(text, '\n([^\n]+) (%x+) (%d+)') do
    local have = redis.call('HMGET', keys.job(o.q.base, id), 'lease_token', 'lock_until_ms', 'attempt', 'max_attempts', 'gid', 'payload')
    local f = keys.parse(id)
    local job = {
      id = id, token = token, until_ms = num.read(have[2]), attempt = num.read(have[3]), max_attempts = num.read(have[4]), gid = have[5] or '',
      seq = tonumber(seq), payload = have[6] or '',
    }
    if have[1] == token and not f then
      o.hand_over(job)
    elseif have[1] == token and run.load(runs(o), f.rid) then
      o.hand_over(job, handover.tell(o.ctx, f))
    end
  end
end

-- What becomes of a popped job, and what it is handed if it begins.
local function look_at(o, f)
  if not f then return 'begin' end
  local sha, fact, inputs = hop.begin(o.short, f)
  if sha then return 'begin', sha, fact, inputs end
  local verdict = handover.verdict(runs(o), f)
  if verdict == 'begin' then return verdict, handover.tell(o.ctx, f) end
  return verdict
end

-- Takes up to `most` jobs. Gives how many were taken that are of no use: more of them may stand before what can be begun.
function handout.fresh(o, most, salt, holder)
  local q, cancelled = o.q, {}
  local t = take.open(q, most, 1, function(gid)
    return #gid == 26 and not hop.is_open(o.short, gid) and handover.is_held(runs(o), gid)
  end)
  if not t then return 0 end
  while t.leased < most and t.useless < TRIES do
    local job = take.next(q, t)
    if not job then break end
    local f = keys.parse(job.id)
    local verdict, sha, fact, inputs = look_at(o, f)
    if verdict == 'begin' then
      take.lease(q, t, job, salt, holder)
      o.hand_over(job, sha, fact, inputs)
    elseif verdict == 'later' then
      take.put_off(q, t, job, q.now + PAUSED_MS)
    else
      take.discard(q, t, job)
      if handover.put_away(o.ctx, f) then cancelled[#cancelled + 1] = f end
    end
  end
  take.close(q, t)
  if #cancelled > 0 then handover.cancel(q, cancelled) end
  return t.useless
end

return handout
