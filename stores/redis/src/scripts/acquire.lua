-- ARGV: whether the server keeps what it acknowledged ('1'), for how many whole seconds the client knows it to be running, the
-- channel for hints; then for each item HOLDER NONCE TTL HOLD ABOVE NOTE BOUND LAST DISPLACES: what a bound claim is bound to as
-- `TERM:MEMBER` and the last term that it names, 0 for none, and of any claim what it displaces as `TERM:MEMBER`; '' where the
-- claim is not bound or displaces nobody. KEYS: for each item the lease and its term record.
-- Answers: {'granted', TERM, LAST_NOTE}, {'held', HOLDER, PTTL, TERM, BOUND}, {'foreign', VALUE, PTTL}, {'typed', TYPE, PTTL},
-- {'young', '', MILLIS}, {'stale', TERM}, {'exhausted'}, {'error', TEXT}.
-- Stamps from a run id begin here, above any clock's seconds.
local RUN = 281474976710656
local start, run

-- Reads the end of the second in which this server started, and its run id, where INFO is permitted. INFO counts whole seconds
-- from the one in which the server started.
local function read_info()
  if start then return end
  local info = redis.pcall('INFO', 'server')
  if type(info) ~= 'string' then info = '' end
  start = seconds - tonumber(string.match(info, 'uptime_in_seconds:(%d+)') or ARGV[2]) + 1
  if migrating then start = math.max(start, seconds - migrating.up + 1) end
  local id = string.match(info, 'run_id:(' .. string.rep('%x', 12) .. ')')
  run = id and string.format('%.0f', RUN + tonumber(id, 16))
end

-- Whether the last tenure was granted in this run of the server; then its own claim has waited long enough. Where INFO is
-- refused the stamp is the second of the grant, which tells the same as long as the clock is not set back and no record comes
-- from another node. While a slot is migrated either node may have lost leases, and no stamp covers both.
local function of_this_run(record)
  if migrating then return false end
  if run then return record.stamp == run end
  local stamp = tonumber(record.stamp)
  return start <= stamp and stamp <= seconds
end

local function foreign(lease, record, kind, shown)
  -- A term record without a term makes lists find the key: a candidate wants it as a lease.
  local fine, kept = pcall(read_record, record)
  if fine and not kept then
    -- Without memory for it the key is not listed; the claim is answered all the same.
    pcall(write_record, record, { ttl = '0', term = '0', nonce = '-', note = '' })
  end
  return { kind, shown, redis.call('PTTL', lease) }
end

-- Whether a lease that is bound gives way to a claim that displaces this member under this term: it is the same member, and
-- the term that it is bound to is not a higher one.
local function gives_way(bound, displaces)
  if not bound or displaces == '' then return false end
  local term, member = string.match(bound, '^(%d+):(.*)$')
  local most, over = string.match(displaces, '^(%d+):(.*)$')
  return member == over and tonumber(term) <= tonumber(most)
end

local function step(i)
  local lease, key = KEYS[2 * i - 1], KEYS[2 * i]
  local at = 3 + 9 * (i - 1)
  local holder, nonce, ttl, hold = ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local above, note = tonumber(ARGV[at + 5]), ARGV[at + 6]
  local bound = ARGV[at + 7] ~= '' and ARGV[at + 7] or nil
  local value, other = value_of(lease)
  local record
  if other then return foreign(lease, key, 'typed', other) end
  if value then
    local by, term, own, now_note, _, to = lease_of(value)
    if not by then return foreign(lease, key, 'foreign', shown(value)) end
    local left = redis.call('PTTL', lease)
    local same = own == nonce and to == bound
    if not same and not gives_way(to, ARGV[at + 9]) then return { 'held', by, left, term, to or false } end
    local day
    record, day = record_for(key, term, own, ARGV[at + 3], now_note)
    if same then
      -- A repeated claim never shortens the lease, and changes neither holder nor note. Of a bound one nothing is to be
      -- extended.
      if left >= 0 then redis.call('PEXPIRE', lease, math.max(left, ttl)) end
      if left >= 0 and left < ttl then record.ttl = ARGV[at + 3] end
      if not bound or not day then write_record(key, record, false, bound) end
      return { 'granted', term, record.previous or false }
    end
  else
    record = read_record(key)
  end
  local last = record and tonumber(record.term) or 0
  if bound and tonumber(ARGV[at + 8]) ~= last then return { 'stale', string.format('%.0f', last) } end
  -- A server that was just started may have lost leases, and a holder from before may count on the key for as long as it was
  -- promised. Only a tenure that was granted since the start ends the wait, for its claim has waited itself.
  local stamp
  if ARGV[1] ~= '1' then
    read_info()
    local free = start * 1000 + math.max(ttl, hold, last > 0 and tonumber(record.ttl) or 0)
    if millis < free and not (last > 0 and of_this_run(record)) then
      return { 'young', '', math.max(1, free - 1000 - millis) }
    end
    stamp = run or string.format('%.0f', seconds)
  end
  local term = math.max(last + 1, above + 1, micros < LIMIT and micros or 0)
  if term >= LIMIT then return { 'exhausted' } end
  term = string.format('%.0f', term)
  local previous
  if last > 0 then
    previous = record.previous
    if record.note ~= '' or not previous then previous = record.note end
  end
  local kept = { ttl = ARGV[at + 3], stamp = stamp, term = term, nonce = nonce, note = note, previous = previous }
  -- Where a lease is displaced its record may lie elsewhere already, and has to stay there.
  write_record(key, kept, not value, bound)
  set_for(lease, lease_value(holder, term, nonce, note, false, bound), bound and '0' or ARGV[at + 3])
  publish(ARGV[3], 'taken', lease, term)
  return { 'granted', term, previous or false }
end

return each(#KEYS / 2, step)
