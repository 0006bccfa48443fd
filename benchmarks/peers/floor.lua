--[[
  The floor of a step: settle jobs, publish what follows, take jobs, with every field and key of the wire contract
  written and nothing besides. No input is checked but the tokens. Counters, lists and sets are written once a call.

  KEYS  anchor
  ARGV  n_settled take is_flow [id token]...
  Reply id token payload ...

  With is_flow a job `run i steps` is a step of a run: its output, token and fact, its successor's fact, the run's header,
  tallies and history are written, the successor is published into the run's group of limit 10, and the input of what is
  taken is read. Not included: plans, gates, fan-out, budgets, retries, cancelling, upkeep, wake-ups and replies sent again.
]]
local base = string.match(KEYS[1], '^{.-}')
local n_settled, want, is_flow = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local stats, counts = base .. ':stats', {active = 0, waiting = 0, group_waiting = 0, waiting_total = 0, groups_ready = 0}
local out, gone, done, reply, next_ids = {}, {}, {}, {}, {}

local function job(id) return base .. ':job:' .. id end
local function count(field, by) counts[field] = counts[field] + by end
local function scored(ids)
  local pairs = {}
  for i, id in ipairs(ids) do pairs[2 * i - 1], pairs[2 * i] = now, id end
  return unpack(pairs)
end

local function publish_next(id, payload)
  local run, i, steps = string.match(payload, '^(%S+) (%d+) (%d+)')
  local follows = tonumber(i) + 1 < tonumber(steps)
  local of_run = base .. ':flow:'
  local have = redis.call('HMGET', of_run .. 'r:' .. run, 'state', 'epoch', 'open', 'rev', 'limit')
  redis.call('HSET', of_run .. 'r:' .. run, 'open', follows and 1 or 0, 'rev', have[4] + 2, 'state', follows and 'running' or 'succeeded')
  redis.call('HSET', of_run .. 'o:' .. run, 's' .. i, '=' .. i)
  redis.call('HSET', of_run .. 't:' .. run, 's' .. i .. '.1', string.sub(id, 1, 12))
  redis.call('HSET', of_run .. 'c:' .. run, 's' .. i .. ':d', 1, 's' .. i .. ':e', now)
  redis.call('RPUSH', of_run .. 'h:' .. run, have[4] .. '|' .. now .. '|s' .. i .. ' done')
  if not follows then
    redis.call('HSET', of_run .. 's:' .. run, 's' .. i, 'D1')
    return
  end
  local follower, group = run .. '.' .. (i + 1), base .. ':g:' .. run
  redis.call('HSET', of_run .. 's:' .. run, 's' .. i, 'D1', 's' .. (i + 1), 'Q1')
  redis.call('HSET', job(follower), 'id', follower, 'payload', run .. ' ' .. (i + 1) .. ' ' .. steps, 'state', 'wait', 'attempt', '0',
    'max_attempts', '4', 'timeout_ms', '30000', 'backoff_ms', '1000', 'created_ms', now, 'updated_ms', now, 'queued_ms', now,
    'first_started_ms', '', 'last_started_ms', '', 'completed_ms', '', 'failed_ms', '', 'gid', run)
  redis.call('RPUSH', group .. ':wait', follower)
  redis.call('ZADD', base .. ':groups:ready', 'NX', now, run)
  count('groups_ready', 1) count('group_waiting', 1) count('waiting_total', 1)
  next_ids[#next_ids + 1] = follower
end

-- Settle.
for n = 1, n_settled do
  local id, token = ARGV[2 + 2 * n], ARGV[3 + 2 * n]
  local have = redis.call('HMGET', job(id), 'lease_token', 'gid', 'attempt', 'max_attempts', 'payload')
  if have[1] == token then
    redis.call('HSET', job(id), 'state', 'completed', 'updated_ms', now, 'completed_ms', now, 'lease_token', '', 'lock_until_ms', '')
    done[#done + 1] = id
    if is_flow then
      redis.call('DECR', base .. ':g:' .. have[2] .. ':inflight')
      publish_next(id, have[5])
    end
  end
end
if #done > 0 then
  count('active', -redis.call('ZREM', base .. ':active', unpack(done)))
  redis.call('ZREM', base .. ':idx:active', unpack(done))
  redis.call('ZADD', base .. ':idx:completed', scored(done))
  local over = redis.call('LPUSH', base .. ':completed', unpack(done)) - 100
  if over > 0 then
    out = redis.call('RPOP', base .. ':completed', over)
    for n, id in ipairs(out) do gone[n] = job(id) end
    redis.call('ZREM', base .. ':idx:completed', unpack(out))
    redis.call('UNLINK', unpack(gone))
  end
  redis.call('HSET', stats, 'completed_kept', math.min(over + 100, 100), 'last_finish_ms', now)
end
if #next_ids > 0 then
  redis.call('ZADD', base .. ':idx:wait', scored(next_ids))
  redis.call('HSET', stats, 'last_enqueue_ms', now)
end

-- Take.
local ids = {}
if want > 0 and is_flow then
  local ready = redis.call('ZPOPMIN', base .. ':groups:ready', want)
  for n = 1, #ready, 2 do
    local group = base .. ':g:' .. ready[n]
    local have = redis.call('MGET', group .. ':inflight', group .. ':limit')
    if tonumber(have[1] or 0) < tonumber(have[2] or 1) then
      ids[#ids + 1] = redis.call('LPOP', group .. ':wait') or nil
      redis.call('INCR', group .. ':inflight')
    end
    count('groups_ready', -1)
  end
  count('group_waiting', -#ids)
elseif want > 0 then
  ids = redis.call('LPOP', base .. ':wait', want) or {}
  count('waiting', -#ids)
end
if #ids > 0 then
  local seq, deadlines = redis.call('INCRBY', base .. ':lease:seq', #ids) - #ids, {}
  for n, id in ipairs(ids) do
    local have = redis.call('HMGET', job(id), 'payload', 'gid', 'timeout_ms', 'attempt', 'max_attempts', 'first_started_ms')
    local token, till = redis.sha1hex(id .. ':' .. now .. ':' .. (seq + n)), string.format('%.0f', now + have[3])
    redis.call('HSET', job(id), 'state', 'active', 'attempt', have[4] + 1, 'lock_until_ms', till, 'lease_token', token,
      'updated_ms', now, 'last_started_ms', now, 'first_started_ms', now)
    deadlines[2 * n - 1], deadlines[2 * n] = till, id
    if is_flow then
      local run, i = string.match(have[1], '^(%S+) (%d+)')
      redis.call('HMGET', base .. ':flow:o:' .. run, i == '0' and ':input' or 's' .. (i - 1))
    end
    reply[3 * n - 2], reply[3 * n - 1], reply[3 * n] = id, token, have[1]
  end
  redis.call('ZADD', base .. ':active', unpack(deadlines))
  redis.call('ZADD', base .. ':idx:active', scored(ids))
  redis.call('ZREM', base .. ':idx:wait', unpack(ids))
  redis.call('HSET', stats, 'last_reserve_ms', now, 'last_activity_ms', now)
  count('active', #ids) count('waiting_total', -#ids)
end
for field, by in pairs(counts) do
  if by ~= 0 then redis.call('HINCRBY', stats, field, by) end
end
return reply
