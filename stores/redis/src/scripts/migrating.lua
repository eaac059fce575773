-- While a cluster migrates a slot, a lease and its term record may lie on two nodes, and a script that names both keys runs on
-- neither. So this goes in front of a verb for one item: the script names the lease alone and is handed the record as it was
-- read before. ARGV: the record's name, its text ('' where there is none), for how many whole seconds the node that the slot
-- leaves is known to be running; then the verb's own. Answers {ANSWER, 'unchanged'}; {ANSWER, 'here'} where a later record
-- now stands beside the lease; {ANSWER, 'elsewhere', TEXT, MILLIS} where the record has to be written on the other node.

-- The other node's stamp says nothing about this node's memory.
local given = string.gsub(ARGV[2], '^(%d+ %d+) %d+', '%1 0', 1)
migrating = { up = tonumber(ARGV[3]) }
if given == '' then given = false end
local rest = {}
for i = 4, #ARGV do rest[i - 3] = ARGV[i] end
local KEYS, ARGV = { KEYS[1], ARGV[1] }, rest

local function is_elsewhere(reply)
  return type(reply) == 'table' and string.find(reply.err or '', 'non local key', 1, true) ~= nil
end

local function term_in(text)
  return tonumber(string.match(text, '^%d+ %d+ %d+ (%d+) ')) or 0
end

-- The record. Where both nodes have one, that with the higher term counts.
function migrating.get(key)
  local text = redis.pcall('GET', key)
  if is_elsewhere(text) then return given end
  if type(text) == 'table' then error(text) end
  if not given then return text end
  if not text or term_in(given) > term_in(text) then return given end
  if term_in(text) > term_in(given) then migrating.here = true end
  return text
end

-- Writes the record on the node where it lies; on this one where `here` is set. A record on each node would stop the migration
-- (BUSYKEY).
function migrating.set(key, text, px, here)
  local own = not here and redis.pcall('GET', key)
  if not here and (is_elsewhere(own) or (not own and given)) then
    migrating.elsewhere, migrating.px = text, px
    return
  end
  set_for(key, text, px)
  migrating.here = true
end

function migrating.finished(answer)
  if migrating.elsewhere then return { answer, 'elsewhere', migrating.elsewhere, migrating.px } end
  return { answer, migrating.here and 'here' or 'unchanged' }
end
