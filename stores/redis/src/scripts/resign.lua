-- KEYS: a lease. Answers a list of one: {'asked'}, {'nobody'}, {'error', TEXT}.
local function step()
  local value = value_of(KEYS[1])
  if not value then return { 'nobody' } end
  local holder, term, nonce, note, asked, bound = lease_of(value)
  if not holder then return { 'nobody' } end
  if not asked then
    -- The mark goes with the lease, whose time left stays as it is. PEXPIRE comes first for a server without memory. Never DEL:
    -- while a slot is moved, what was deleted cannot be set again where it was.
    local left, marked = redis.call('PTTL', KEYS[1]), lease_value(holder, term, nonce, note, true, bound)
    if bound then
      redis.call('PEXPIRE', KEYS[1], KEEP)
      redis.call('SET', KEYS[1], marked)
    else
      if left > 0 then redis.call('PEXPIRE', KEYS[1], left) end
      redis.call('SET', KEYS[1], marked, 'KEEPTTL')
    end
  end
  return { 'asked' }
end
return each(1, step)
