-- What the scripts share. A lease is `HOLDER TERM NONCE [NOTE]` under its own name, with `!` behind the nonce where the
-- holder is asked to resign, and `@TERM:MEMBER` behind that where it is bound to that term of a member's key: it has no expiry
-- then, nor has its term record. Versions that know of no bound leases take one for another program's. Its term record,
-- beside it, is
-- `DAY TTL STAMP TERM NONCE NOTE_BYTES PREVIOUS_BYTES NOTE PREVIOUS`, see lib.rs.
--
-- A server that has reached maxmemory refuses a script whose first write needs memory (SET), and none whose first write needs
-- none (PEXPIRE, DEL). So a step on a lease that is there begins with PEXPIRE or DEL and goes through; a new lease begins with
-- SET and is refused.
local LIMIT = 4503599627370496
-- How term records are read and written while their slot is being migrated; see migrating.lua. nil otherwise.
local migrating
local KEEP = 8 * 24 * 3600 * 1000

local time = redis.call('TIME')
local seconds = tonumber(time[1])
local micros = seconds * 1000000 + tonumber(time[2])
local millis = seconds * 1000 + math.floor(tonumber(time[2]) / 1000)
local today = string.format('%.0f', math.floor(seconds / 86400))

-- Takes a lease apart: holder, term, nonce, note, whether it is asked to resign, what it is bound to as `TERM:MEMBER`, or nil
-- where it is not; nil where another program wrote it.
local function lease_of(value)
  local holder, term, nonce, asked, at = string.match(value, '^(%S+) ([1-9]%d*) (%x+)(!?)()')
  if not nonce or #nonce ~= 32 or #term > 16 or tonumber(term) >= LIMIT then return nil end
  local bound
  if string.byte(value, at) == 64 then
    local of, member, behind = string.match(value, '^@([1-9]%d*):(%S+)()', at)
    if not of or #of > 16 or tonumber(of) >= LIMIT then return nil end
    bound, at = of .. ':' .. member, behind
  end
  if at > #value then return holder, term, nonce, '', asked ~= '', bound end
  if string.byte(value, at) ~= 32 then return nil end
  return holder, term, nonce, string.sub(value, at + 1), asked ~= '', bound
end

-- A value for an answer. Another program's value may be of any length; its beginning is enough to find a holder's name in.
local function shown(value)
  if #value > 4096 and not lease_of(value) then return string.sub(value, 1, 4096) end
  return value
end

local function lease_value(holder, term, nonce, note, asked, bound)
  local text = holder .. ' ' .. term .. ' ' .. nonce
  if asked then text = text .. '!' end
  if bound then text = text .. '@' .. bound end
  if note ~= '' then text = text .. ' ' .. note end
  return text
end

-- Takes a term record apart; its second result is the day on which it was written. nil where there is none. One that cannot
-- be read is an error of its key alone.
local function read_record(key)
  local text
  if migrating then text = migrating.get(key) else text = redis.call('GET', key) end
  if not text then return nil end
  local day, ttl, stamp, term, nonce, note_bytes, previous_bytes, at =
    string.match(text, '^(%d+) (%d+) (%d+) (%d+) (%S+) (%d+) ([-%d]+) ()')
  if not at then error('CORRUPT') end
  local record = { ttl = ttl, stamp = stamp, term = term, nonce = nonce }
  local middle = at + tonumber(note_bytes)
  record.note = string.sub(text, at, middle - 1)
  if previous_bytes ~= '-' then record.previous = string.sub(text, middle) end
  return record, day
end

-- Sets a key for so many milliseconds; for ever where that is '0'.
local function set_for(key, text, px)
  if px == '0' then redis.call('SET', key, text) else redis.call('SET', key, text, 'PX', px) end
end

-- The stamp tells in which run of the server the last tenure was granted (see acquire.lua), and only a grant sets it: a
-- release, a renewal or a removal may concern a tenure that a restored snapshot brought back, and proves nothing about
-- tenures that the snapshot lacks. `here`: the lease is created in this step, and its record must stand beside it. `bound`: so
-- is the lease, and its record must not go before it, or lists would not find it.
local function write_record(key, record, here, bound)
  local previous = record.previous
  local text = table.concat({
    today, record.ttl, record.stamp or '0', record.term, record.nonce, #record.note, previous and #previous or '-',
    record.note .. (previous or ''),
  }, ' ')
  local px = bound and '0' or string.format('%.0f', KEEP + tonumber(record.ttl))
  if migrating then return migrating.set(key, text, px, here) end
  set_for(key, text, px)
end

-- The term record of a lease that is there; a new one where it was lost or cannot be read.
local function record_for(key, term, nonce, ttl, note)
  local fine, record, day = pcall(read_record, key)
  if fine and record and record.term == term then return record, day end
  return { ttl = ttl, stamp = '0', term = term, nonce = nonce, note = note }
end

-- Runs the step for each item. Answers for those items for which it answers something: {KIND, ..., ITEM}. An error that it
-- raises is the answer of that item alone: {'error', TEXT, ITEM}.
local function each(count, step)
  local answers = {}
  for i = 1, count do
    local fine, answer = pcall(step, i)
    if not fine then
      if type(answer) == 'table' then answer = answer.err end
      answer = { 'error', tostring(answer) }
    end
    if answer then
      answer[#answer + 1] = i
      answers[#answers + 1] = answer
    end
  end
  return answers
end

-- The lease's value; or false, and the type of a key of another type that stands in its place.
local function value_of(key)
  local value = redis.pcall('GET', key)
  if type(value) ~= 'table' then
    if value then return value end
    return false, nil
  end
  if string.sub(value.err or '', 1, 9) ~= 'WRONGTYPE' then error(value) end
  return false, redis.call('TYPE', key).ok
end

-- Publishes what became of a lease: 'freed', or 'taken' by a new tenure. In a cluster every node passes it to its subscribers,
-- and whoever listens on two nodes hears it twice: clients of a cluster put `{` behind the channel, for a message that has `{ID}`
-- behind the name, by which its two copies are told from the next message; ID is nil where nothing names the change.
-- A refusal (by an ACL rule) never undoes the step.
local function publish(channel, change, lease, id)
  local message = change .. ' ' .. lease
  if string.byte(channel, -1) == 123 then
    channel = string.sub(channel, 1, -2)
    if id then message = message .. '{' .. id .. '}' end
  end
  redis.pcall('PUBLISH', channel, message)
end
