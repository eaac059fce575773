-- ARGV: the channel for hints. KEYS: a lease and its term record. Answers a list of one: {'none'}, or what stood:
-- {'lease', VALUE, PTTL, TTL}, {'typed', TYPE, PTTL}, {'error', TEXT}.
local function step()
  local lease, key = KEYS[1], KEYS[2]
  local value, other = value_of(lease)
  local holder, term, nonce, note
  if value then holder, term, nonce, note = lease_of(value) end
  if not value and not other then
    -- Ends a tenure whose lease has expired as well, so that its own late release changes nothing.
    local fine, record = pcall(read_record, key)
    if fine and record and record.nonce ~= '-' then
      redis.call('DEL', lease)
      record.nonce = '-'
      write_record(key, record)
    end
    return { 'none' }
  end
  local left, ttl = redis.call('PTTL', lease), false
  redis.call('DEL', lease)
  if holder then
    local record = record_for(key, term, nonce, '0', note)
    ttl, record.nonce = record.ttl, '-'
    write_record(key, record)
  end
  publish(ARGV[1], 'freed', lease, term)
  return { value and 'lease' or 'typed', value and shown(value) or other, left, ttl }
end
return each(1, step)
