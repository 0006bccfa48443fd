--[[
  What the two batches share: the checks on the whole, and one result for each id.
]]
--- @include "num"
local batch = {}
local MOST = 100

-- The number of ids, or nil and the reply that ends the call. `knows_lane` is false for a lane that is none.
function batch.count(given, n_ids, knows_lane)
  local count = num.given(given, 0)
  if not count then error({err = 'BAD_ARGS the count must be a number'}) end
  if count <= 0 then return nil, {} end
  if count > MOST then return nil, {'ERR', 'BATCH_TOO_LARGE', num.text(MOST)} end
  if not knows_lane then return nil, {'ERR', 'BAD_LANE'} end
  if n_ids < count then return nil, {'ERR', 'BAD_ARGS'} end
  return count
end

-- Flat: id, OK or id, ERR, code; the ids stand in `argv` after `offset`.
function batch.results(argv, offset, codes)
  local reply = {}
  for i, code in ipairs(codes) do
    reply[#reply + 1] = argv[offset + i]
    if code ~= 'OK' then reply[#reply + 1] = 'ERR' end
    reply[#reply + 1] = code
  end
  return reply
end

return batch
