-- ARGV: the channel for hints; then for each item 'TERM NONCE', NOTE. KEYS: for each item the lease and its term record.
-- Answers for each item: {'freed'}, {'not held'}, {'error', TEXT}.
local function step(i)
  local lease, key = KEYS[2 * i - 1], KEYS[2 * i]
  local id, note = ARGV[2 * i], ARGV[2 * i + 1]
  local value, other = value_of(lease)
  if other then return { 'not held' } end
  local record
  if value then
    local holder, term, nonce = lease_of(value)
    if not holder or term .. ' ' .. nonce ~= id then return { 'not held' } end
    record = record_for(key, term, nonce, '0', note)
  else
    -- The lease has expired, and nobody has held the key since: the tenure's last note is kept.
    record = read_record(key)
    if not record or record.term .. ' ' .. record.nonce ~= id then return { 'not held' } end
  end
  record.note, record.nonce = note, '-'
  redis.call('DEL', lease)
  write_record(key, record)
  publish(ARGV[1], 'freed', lease, record.term)
  return { 'freed' }
end

return each(#KEYS / 2, step)
