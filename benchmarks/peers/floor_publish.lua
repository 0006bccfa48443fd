--[[
  The floor of publishing: many plain jobs in one call, with every field and key of the wire contract written.

  KEYS  anchor
  ARGV  [id payload]...
]]
local base = string.match(KEYS[1], '^{.-}')
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local ids, scores = {}, {}
for n = 1, #ARGV, 2 do
  local id = ARGV[n]
  redis.call('HSET', base .. ':job:' .. id, 'id', id, 'payload', ARGV[n + 1], 'state', 'wait', 'attempt', '0', 'max_attempts', '3',
    'timeout_ms', '30000', 'backoff_ms', '5000', 'created_ms', now, 'updated_ms', now, 'queued_ms', now, 'first_started_ms', '',
    'last_started_ms', '', 'completed_ms', '', 'failed_ms', '')
  ids[#ids + 1] = id
  scores[#scores + 1] = now
  scores[#scores + 1] = id
end
redis.call('RPUSH', base .. ':wait', unpack(ids))
redis.call('ZADD', base .. ':idx:wait', unpack(scores))
redis.call('HINCRBY', base .. ':stats', 'waiting', #ids)
redis.call('HINCRBY', base .. ':stats', 'waiting_total', #ids)
redis.call('HSET', base .. ':stats', 'last_activity_ms', now, 'last_enqueue_ms', now)
return #ids
