-- KEYS: for each item a lease and its term record. Answers for each item: false where nobody holds it,
-- {'lease', VALUE, PTTL, TTL}, {'typed', TYPE, PTTL}, {'error', TEXT}.
local function step(i)
  local lease = KEYS[2 * i - 1]
  local value, other = value_of(lease)
  if other then return { 'typed', other, redis.call('PTTL', lease) } end
  if not value then return false end
  local fine, record = pcall(read_record, KEYS[2 * i])
  return { 'lease', shown(value), redis.call('PTTL', lease), fine and record and record.ttl or false }
end

local answers = {}
for i = 1, #KEYS / 2 do answers[i] = guarded(step, i) end
return answers
