-- ARGV: whether the server keeps what it acknowledged ('1'), for how many whole seconds the client knows it to be up, the
-- channel for news; then for each item HOLDER NONCE TTL HOLD ABOVE NOTE. KEYS: for each item the lease and its term record.
-- Answers: {'granted', TERM, LAST_NOTE}, {'held', HOLDER, TERM, PTTL}, {'foreign', VALUE, PTTL}, {'typed', TYPE, PTTL},
-- {'young', MILLIS}, {'exhausted'}, {'error', TEXT}.
-- A run's stamps are numbers that no clock shows.
local RUN = 281474976710656
local start, run

-- Finds the end of the second in which this server started, and which run of it this is, where it says so. INFO counts whole
-- seconds from the one it started in.
local function look()
  if start then return end
  local info = redis.pcall('INFO', 'server')
  if type(info) ~= 'string' then info = '' end
  start = seconds - tonumber(string.match(info, 'uptime_in_seconds:(%d+)') or ARGV[2]) + 1
  if apart then start = math.max(start, seconds - apart.up + 1) end
  local id = string.match(info, 'run_id:(' .. string.rep('%x', 12) .. ')')
  run = id and string.format('%.0f', RUN + tonumber(id, 16))
end

-- Whether the last tenure was granted in this run of the server, and so has waited itself. A server that does not say which
-- run it is stamps seconds, which say the same as long as its clock is not set back and no other node's stamp comes here.
-- While a slot moves either node may have forgotten, and no stamp speaks for both.
local function of_this_run(record)
  if apart then return false end
  if run then return record.stamp == run end
  local stamp = tonumber(record.stamp)
  return start <= stamp and stamp <= seconds
end

local function foreign(lease, record, kind, shown)
  -- So that lists find the key: a term record without a term says that somebody wants it as a lease.
  local fine, kept = pcall(read_record, record)
  if fine and not kept then
    -- It can wait where there is no memory for it.
    pcall(write_record, record, { ttl = '0', term = '0', nonce = '-', note = '' })
  end
  return { kind, shown, redis.call('PTTL', lease) }
end

local function step(i)
  local lease, key = KEYS[2 * i - 1], KEYS[2 * i]
  local at = 3 + 6 * (i - 1)
  local holder, nonce, ttl, hold = ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local above, note = tonumber(ARGV[at + 5]), ARGV[at + 6]
  local value, other = value_of(lease)
  if other then return foreign(lease, key, 'typed', other) end
  if value then
    local by, term, own, now_note = lease_of(value)
    if not by then return foreign(lease, key, 'foreign', shown(value)) end
    local left = redis.call('PTTL', lease)
    if own ~= nonce then return { 'held', by, term, left } end
    -- A repeated claim never shortens the lease and leaves holder and note alone.
    local record = record_for(key, term, own, ARGV[at + 3], now_note)
    if left >= 0 then redis.call('PEXPIRE', lease, math.max(left, ttl)) end
    if left >= 0 and left < ttl then record.ttl = ARGV[at + 3] end
    write_record(key, record)
    return { 'granted', term, record.previous or false }
  end
  local record = read_record(key)
  local last = record and tonumber(record.term) or 0
  -- A server that may have forgotten: who held before it started may believe so until what it was promised has passed.
  -- Only a tenure that was granted since lifts that, for it has waited.
  local stamp
  if ARGV[1] ~= '1' then
    look()
    local free = start * 1000 + math.max(ttl, hold, last > 0 and tonumber(record.ttl) or 0)
    if millis < free and not (last > 0 and of_this_run(record)) then
      return { 'young', math.max(1, free - 1000 - millis) }
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
  write_record(key, kept, true)
  redis.call('SET', lease, lease_value(holder, term, nonce, note, false), 'PX', ARGV[at + 3])
  publish(ARGV[3], 'taken', lease)
  return { 'granted', term, previous or false }
end

local answers = {}
for i = 1, #KEYS / 2 do answers[i] = guarded(step, i) end
return answers
