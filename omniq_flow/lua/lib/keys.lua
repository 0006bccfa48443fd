--[[
  Every key that scripts name; the twin of ops/keys.py. All carry the tag of KEYS[1].
]]
local keys = {}

-- `{q}:meta` -> `{q}`; an anchor without the suffix is the base itself (wire §1).
function keys.base(anchor)
  return (string.gsub(anchor, ':meta$', ''))
end

function keys.job(base, id) return base .. ':job:' .. id end

-- The keys of a run, by kind; `g` is the generation of what is derived.
function keys.run(base, rid, g)
  local flow, derived = base .. ':flow:', rid .. '.' .. g
  return {
    header = flow .. 'r:' .. rid, states = flow .. 's:' .. rid, outputs = flow .. 'o:' .. rid,
    tallies = flow .. 'c:' .. rid, history = flow .. 'h:' .. rid, tokens = flow .. 't:' .. rid,
    big = flow .. 'big:' .. rid, log = flow .. 'l:' .. rid,
    asked = flow .. 'asked:' .. rid, only = flow .. 'only:' .. rid, reach = flow .. 'reach:' .. rid, superseded = flow .. 'old:' .. rid,
    gates = flow .. 'n:' .. derived, work = flow .. 'q:' .. derived, rests = flow .. 'x:' .. derived,
    parked = flow .. 'p:' .. derived, counters = base .. ':cc:' .. derived .. ':',
  }
end

function keys.value(base, rid, id, epoch)
  return base .. ':flow:v:' .. rid .. ':' .. id .. ':' .. epoch
end

function keys.plan(base, sha) return base .. ':flow:g:' .. sha end
function keys.run_key(base, flow, key) return base .. ':flow:k:' .. flow .. ':' .. key end
function keys.live(base) return base .. ':flow:live' end
function keys.ended(base) return base .. ':flow:end' end
function keys.trash(base) return base .. ':flow:trash' end
function keys.pause(base) return base .. ':flow:pause' end
function keys.idle(base) return base .. ':flow:idle' end
function keys.wake(base, worker) return base .. ':flow:wake:' .. worker end
function keys.taken(base, worker) return base .. ':flow:a:' .. worker end

return keys
