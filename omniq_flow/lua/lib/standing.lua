--[[
  Where the job of a step run stands, and whether it stands where it says it does: what a sweep and a cancel compare.
  Lanes that are lists are not searched for each job. An empty list is seen at once; of a longer one the caller may look for
  one of the jobs that have waited long (`old`).
]]
--- @include "keys"
--- @include "num"
local standing = {}

local OLD, SEARCHED = 10, 10000

-- check: how often the run is looked after, in ms.
function standing.open(q, check)
  return {q = q, check = check, lengths = {}, old = {}}
end

local function is_queued(s, id, gid, since)
  local base = s.q.base
  local list = gid and gid ~= '' and base .. ':g:' .. gid .. ':wait' or base .. ':wait'
  if not s.lengths[list] then
    local n = redis.pcall('LLEN', list)
    s.lengths[list] = type(n) == 'number' and n or 0
  end
  if s.lengths[list] == 0 then return false end
  if s.q.now - since > OLD * s.check and s.lengths[list] <= SEARCHED then s.old[#s.old + 1] = {id = id, list = list} end
  return true
end

-- The state of a job of ours and its last error; `lost` if it stands nowhere.
function standing.of(s, id)
  local base = s.q.base
  local have = redis.pcall('HMGET', keys.job(base, id), 'state', 'last_error', 'gid', 'updated_ms')
  local state = not have.err and have[1]
  if not state then return 'lost' end
  if state == 'active' and not redis.call('ZSCORE', base .. ':active', id) then return 'lost' end
  if state == 'delayed' and not redis.call('ZSCORE', base .. ':delayed', id) then return 'lost' end
  if state == 'wait' and not is_queued(s, id, have[3], num.read(have[4])) then return 'lost' end
  return state, have[2]
end

-- One job that has waited long and is in its list no more; nil if there is none.
function standing.missing(s)
  local candidate = #s.old > 0 and s.old[s.q.now % #s.old + 1]
  return candidate and not redis.call('LPOS', candidate.list, candidate.id) and candidate.id or nil
end

return standing
