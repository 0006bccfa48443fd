#!lua flags=allow-oom
--[[
  lease_beat: extend leases, all of a worker in one call. A deadline is now plus the job's lease (D3).

  KEYS  anchor
  ARGV  now_ms leases...
  Reply results

  A lease is two arguments: job_id token. A result, one a lease, is the new deadline in ms, or LOST, or CANCEL
  (extended, but its run wants it no more). At most 256 leases a call.
]]
--- @include "num"
--- @include "clock"
--- @include "types"
--- @include "keys"
--- @include "queue"
--- @include "settle"
--- @include "run"
local q = queue.open(KEYS[1], clock.now(ARGV[1]))
if #ARGV > 513 then return {err = 'BAD_ARGS at most 256 leases a call'} end
types.check({q.base .. ':active', 'zset'})
local ctx = settle.open(q, 1)

local function is_wanted(f)
  local r = run.load(ctx, f.rid)
  local fact = r and run.fact(r, f.id)
  return fact and r.state ~= 'cancelling' and string.match(fact, '^Q(%d+)') == f.epoch
end

local results = {}
for i = 2, #ARGV, 2 do
  local id, token = ARGV[i], ARGV[i + 1]
  local have = redis.pcall('HMGET', keys.job(q.base, id), 'lease_token', 'timeout_ms')
  local result = 'LOST'
  if not have.err and token ~= '' and have[1] == token and redis.call('ZSCORE', q.base .. ':active', id) then
    local deadline = q.now + num.positive(have[2], 60000)
    q.active[id] = deadline
    queue.write_job(q, id, {'lock_until_ms', num.text(deadline), 'updated_ms', num.text(q.now)})
    local f = keys.parse(id)
    result = (not f or is_wanted(f)) and num.text(deadline) or 'CANCEL'
  end
  results[#results + 1] = result
end
queue.settle(q)
queue.flush(q)
return results
