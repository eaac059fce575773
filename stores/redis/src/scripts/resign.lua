-- KEYS: a lease. Answers {'asked'}, {'nobody'}, {'error', TEXT}.
local function step()
  local value = value_of(KEYS[1])
  if not value then return { 'nobody' } end
  local holder, term, nonce, note, asked = lease_of(value)
  if not holder then return { 'nobody' } end
  if not asked then
    -- The mark ends with the tenure, as the lease does; how long that is does not change.
    local left = redis.call('PTTL', KEYS[1])
    if left > 0 then redis.call('PEXPIRE', KEYS[1], left) end
    redis.call('SET', KEYS[1], lease_value(holder, term, nonce, note, true), 'KEEPTTL')
  end
  return { 'asked' }
end
return guarded(step)
