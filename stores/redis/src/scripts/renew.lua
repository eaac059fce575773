-- Two forms, both of which answer only for items that they did not simply extend.
-- ARGV 'extend' TTL WIDTH, then ' TERM NONCE[ NOTE]' of all items, each of that width, as one text; KEYS the leases alone.
-- Extends those that stand exactly so; answers the indexes of the others, of which nothing was done.
-- ARGV 'full', then for each item 'TERM NONCE' TTL NOTE; KEYS for each item the lease and its term record.
-- {'asked'}: extended, and the holder is asked to resign. {'lost', HOLDER}, {'foreign', VALUE}, {'typed', TYPE}, {'free'}.
if ARGV[1] == 'extend' then
  local find, sub, pcall_redis, out = string.find, string.sub, redis.pcall, {}
  local values, ttl, width, expected = redis.call('MGET', unpack(KEYS)), ARGV[2], tonumber(ARGV[3]), ARGV[4]
  for i = 1, #KEYS do
    local value = values[i]
    local fine = false
    if value then
      -- The expected text is all that stands behind the holder.
      local from, to = find(value, sub(expected, (i - 1) * width + 1, i * width), 1, true)
      fine = to == #value and from == find(value, ' ', 1, true) and pcall_redis('PEXPIRE', KEYS[i], ttl) == 1
    end
    if not fine then out[#out + 1] = i end
  end
  return out
end

local function step(i)
  local lease, key = KEYS[2 * i - 1], KEYS[2 * i]
  local id, ttl, note = ARGV[3 * i - 1], ARGV[3 * i], ARGV[3 * i + 1]
  local value, other = value_of(lease)
  if other then return { 'typed', other } end
  if not value then return { 'free' } end
  local holder, term, nonce, old, asked, bound = lease_of(value)
  if not holder then return { 'foreign', shown(value) } end
  -- A bound lease has no ttl that could be promised anew.
  if bound or term .. ' ' .. nonce ~= id then return { 'lost', holder } end
  local record, day = record_for(key, term, nonce, ttl, note)
  local same = record.ttl == ttl and day == today and record.note == note
  record.ttl, record.note = ttl, note
  redis.call('PEXPIRE', lease, ttl)
  if old ~= note then
    write_record(key, record)
    redis.call('SET', lease, lease_value(holder, term, nonce, note, asked), 'PX', ttl)
  elseif not same then
    write_record(key, record)
  end
  return asked and { 'asked' } or nil
end

return each(#KEYS / 2, step)
