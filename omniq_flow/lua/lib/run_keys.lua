--[[
  The keys of one run; the twin of ops/keys.py. All carry the tag of KEYS[1].
]]
local run_keys = {}

local FACTS = {
  header = ':flow:r:', states = ':flow:s:', outputs = ':flow:o:', tallies = ':flow:c:', history = ':flow:h:', tokens = ':flow:t:',
  big = ':flow:big:', log = ':flow:l:', asked = ':flow:asked:', only = ':flow:only:', reach = ':flow:reach:', superseded = ':flow:old:',
}
local DERIVED = {gates = ':flow:n:', work = ':flow:q:', rests = ':flow:x:', parked = ':flow:p:'}
local by_kind = {__index = function(names, kind)
  local name
  if FACTS[kind] then
    name = names.base .. FACTS[kind] .. names.rid
  elseif DERIVED[kind] then
    name = names.base .. DERIVED[kind] .. names.derived
  elseif kind == 'counters' then
    name = names.base .. ':cc:' .. names.derived .. ':'
  end
  names[kind] = name
  return name
end}

-- The keys of a run, by kind, each made when it is first wanted; `g` is the generation of what is derived.
function run_keys.of(base, rid, g)
  return setmetatable({base = base, rid = rid, derived = rid .. '.' .. g}, by_kind)
end

-- What the keys of facts of one kind begin with; the run follows.
function run_keys.prefix(base, kind) return base .. FACTS[kind] end

function run_keys.header(base, rid) return base .. ':flow:r:' .. rid end

-- As much of a token as is kept to know it again.
function run_keys.mark(token) return string.sub(token, 1, 12) end

function run_keys.value(base, rid, id, epoch)
  return base .. ':flow:v:' .. rid .. ':' .. id .. ':' .. epoch
end

return run_keys
