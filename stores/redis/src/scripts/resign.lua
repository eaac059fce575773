-- KEYS: a lease. Answers a list of one: {'asked'}, {'nobody'}, {'error', TEXT}.
local function step()
  local value = value_of(KEYS[1])
  if not value then return { 'nobody' } end
  local holder, term, nonce, note, asked = lease_of(value)
  if not holder then return { 'nobody' } end
  if not asked then
    -- The mark goes with the lease, whose time left stays as it is. PEXPIRE comes first for a server without memory.
    local left = redis.call('PTTL', KEYS[1])
    if left > 0 then redis.call('PEXPIRE', KEYS[1], left) end
    redis.call('SET', KEYS[1], lease_value(holder, term, nonce, note, true), 'KEEPTTL')
  end
  return { 'asked' }
end
return each(1, step)
