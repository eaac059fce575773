-- KEYS: for each item a lease and its term record. Answers where somebody holds it:
-- {'lease', VALUE, PTTL, TTL}, {'typed', TYPE, PTTL}, {'error', TEXT}.
local function step(i)
  local lease = KEYS[2 * i - 1]
  local value, other = value_of(lease)
  if other then return { 'typed', other, redis.call('PTTL', lease) } end
  if not value then return nil end
  local fine, record = pcall(read_record, KEYS[2 * i])
  return { 'lease', shown(value), redis.call('PTTL', lease), fine and record and record.ttl or false }
end

return each(#KEYS / 2, step)
