--[[
  Every key that scripts name but those of one run (`run_keys`); the twin of ops/keys.py. All carry the tag of KEYS[1].
]]
local keys = {}

-- `{q}:meta` -> `{q}`; an anchor without the suffix is the base itself (wire §1).
function keys.base(anchor)
  return (string.gsub(anchor, ':meta$', ''))
end

local jobs = {}

-- A call has one queue, and names a job several times.
function keys.job(base, id)
  local name = jobs[id]
  if not name then
    name = base .. ':job:' .. id
    jobs[id] = name
  end
  return name
end

local parsed = {}

-- What the id of a step run's job says, `f.<run>.<step run>.<epoch>`; nil for a plain job.
function keys.parse(id)
  local f = parsed[id]
  if f == nil then
    local rid, step, x, epoch = string.match(id, '^f%.(%w+)%.([%w_]+)([%w_%-]*)%.(%d+)$')
    f = rid and #rid == 26 and {rid = rid, id = step .. x, step = step, x = x, epoch = epoch} or false
    parsed[id] = f
  end
  return f or nil
end

function keys.plan(base, sha) return base .. ':flow:g:' .. sha end
function keys.run_key(base, flow, key) return base .. ':flow:k:' .. flow .. ':' .. key end
function keys.live(base) return base .. ':flow:live' end
function keys.ended(base) return base .. ':flow:end' end
function keys.copy(base, rid) return base .. ':flow:copy:' .. rid end
function keys.copies(base) return base .. ':flow:copies' end
function keys.trash(base) return base .. ':flow:trash' end
function keys.pause(base) return base .. ':flow:pause' end
function keys.idle(base) return base .. ':flow:idle' end
function keys.wake(base, worker) return base .. ':flow:wake:' .. worker end
function keys.taken(base, worker) return base .. ':flow:a:' .. worker end

return keys
