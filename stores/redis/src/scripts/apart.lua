-- While a cluster moves a slot, a lease and its term record may lie on two nodes, and a script that names both keys runs on
-- neither. Then it begins with this: it names the lease alone, for one item, and is told what was read of the record. ARGV:
-- the record's name, its text ('' where there is none), for how many whole seconds the node that the slot leaves is known to
-- be up; then what follows always. Its answer is {ANSWER, 'none'}, or {ANSWER, 'here'} where a later record stands beside the
-- lease now, or {ANSWER, 'left', TEXT, MILLIS} where the record is to be written on the other node.

-- What another node stamped says nothing of how long this one remembers.
local told = string.gsub(ARGV[2], '^(%d+ %d+) %x+', '%1 0', 1)
apart = { up = tonumber(ARGV[3]) }
if told == '' then told = false end
local rest = {}
for i = 4, #ARGV do rest[i - 3] = ARGV[i] end
local KEYS, ARGV = { KEYS[1], ARGV[1] }, rest

local function is_elsewhere(reply)
  return type(reply) == 'table' and string.find(reply.err or '', 'non local key', 1, true) ~= nil
end

local function term_in(text)
  return tonumber(string.match(text, '^%d+ %d+ %x+ (%d+) ')) or 0
end

-- Of two records the later one counts.
function apart.get(key)
  local text = redis.pcall('GET', key)
  if is_elsewhere(text) then return told end
  if type(text) == 'table' then error(text) end
  if not told then return text end
  if not text or term_in(told) > term_in(text) then return told end
  if term_in(text) > term_in(told) then apart.here = true end
  return text
end

-- Where it lies; `here` where it must stand beside its lease. Two of them would stop the move.
function apart.set(key, text, px, here)
  local own = not here and redis.pcall('GET', key)
  if not here and (is_elsewhere(own) or (not own and told)) then
    apart.left, apart.px = text, px
    return
  end
  redis.call('SET', key, text, 'PX', px)
  apart.here = true
end

function apart.finished(answer)
  if apart.left then return { answer, 'left', apart.left, apart.px } end
  return { answer, apart.here and 'here' or 'none' }
end
