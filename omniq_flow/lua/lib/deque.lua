--[[
  A list in Redis used from both ends within one call. Its length is known beforehand; items are read in slices
  as they are wanted and written back once. An item is a table of texts, joined by `|` where it is stored.
]]
--- @include "many"
local deque = {}
local SLICE = 64

function deque.new(key, length)
  return {key = key, stored = length, read = 0, front = {}, back = {}, first = 1}
end

function deque.size(d)
  return #d.front + d.stored - d.read + #d.back - d.first + 1
end

function deque.push_front(d, item)
  d.front[#d.front + 1] = item
end

function deque.push_back(d, item)
  d.back[#d.back + 1] = item
end

local function split(text)
  local item, n = {}, 0
  for part in string.gmatch(text, '([^|]*)|') do
    n = n + 1
    item[n] = part
  end
  return item
end

local function fill(d)
  local texts = redis.call('LRANGE', d.key, d.read, d.read + SLICE - 1)
  d.read = d.read + #texts
  -- A list that is shorter than its count: what was there is all there is.
  if #texts == 0 then d.read = d.stored end
  for i = #texts, 1, -1 do d.front[#d.front + 1] = split(texts[i]) end
end

function deque.pop(d)
  if #d.front == 0 and d.read < d.stored then fill(d) end
  if #d.front > 0 then return table.remove(d.front) end
  local item = d.back[d.first]
  if item then
    d.back[d.first] = false
    d.first = d.first + 1
  end
  return item
end

local function join(item)
  return table.concat(item, '|') .. '|'
end

-- Whether `flush` is going to write.
function deque.is_changed(d)
  return d.read > 0 or #d.front > 0 or #d.back >= d.first
end

function deque.flush(d)
  if not deque.is_changed(d) then return end
  if d.read > 0 then redis.call('LTRIM', d.key, d.read, -1) end
  local texts = {}
  for i, item in ipairs(d.front) do texts[i] = join(item) end
  many.call('LPUSH', d.key, texts)
  texts = {}
  for i = d.first, #d.back do texts[#texts + 1] = join(d.back[i]) end
  many.call('RPUSH', d.key, texts)
end

return deque
