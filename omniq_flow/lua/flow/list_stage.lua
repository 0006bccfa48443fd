#!lua
--[[
  list_stage: lay down elements of a list that is mapped, before the job that made it is settled.

  KEYS  anchor
  ARGV  job_id token offset elements...
  Reply OK | LOST

  offset is the index of the first element; 0 throws away what an earlier attempt left. At most 1,000 elements a call.
]]
--- @include "num"
--- @include "many"
--- @include "types"
--- @include "keys"
--- @include "run_keys"
local base, id, offset = keys.base(KEYS[1]), ARGV[1], num.read(ARGV[3])
local f = keys.parse(id)
if #ARGV > 1003 then return {err = 'BAD_ARGS at most 1000 elements a call'} end
types.check({base .. ':active', 'zset', keys.job(base, id), 'hash'})
if not f or ARGV[2] == '' or redis.call('HGET', keys.job(base, id), 'lease_token') ~= ARGV[2] or not redis.call('ZSCORE', base .. ':active', id) then
  return {'LOST'}
end
local key, big = run_keys.value(base, f.rid, f.id, f.epoch), run_keys.of(base, f.rid, '0').big
types.check({big, 'set'})
if redis.call('EXISTS', run_keys.header(base, f.rid)) == 0 then return {'LOST'} end
if offset == 0 then redis.call('UNLINK', key) end
local args = {}
for i = 4, #ARGV do
  args[#args + 1] = num.text(offset + i - 4)
  args[#args + 1] = ARGV[i]
end
many.call('HSET', key, args)
redis.call('SADD', big, f.id .. ':' .. f.epoch)
return {'OK'}
