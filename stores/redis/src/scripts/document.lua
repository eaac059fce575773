-- Documents: `VERSION VALUE` under `{NAME}:document`, without an expiry. ARGV: the channel for hints; for each item the version
-- that must stand there (empty where nothing may), the next one, 'write' or 'delete', the value. KEYS: for each item its document.
-- Answers for each item: {'done', VERSION}, {'conflict'}, {'conflict', VERSION, VALUE}, {'unreadable'}, {'error', TEXT}.
local function step(i)
  local key, expected, following, act, to = KEYS[i], ARGV[4 * i - 2], ARGV[4 * i - 1], ARGV[4 * i], ARGV[4 * i + 1]
  local text, other = value_of(key)
  if other then return { 'unreadable' } end
  if text then
    local version = string.match(text, '^(%x+) ')
    if not version or #version ~= 32 then return { 'unreadable' } end
    if version ~= expected then return { 'conflict', version, string.sub(text, #version + 2) } end
  elseif expected ~= '' then
    return { 'conflict' }
  end
  if act == 'delete' then
    redis.call('DEL', key)
  else
    redis.call('SET', key, following .. ' ' .. to)
  end
  -- The name without what marks it as a document: its braces, and `:document`.
  publish(ARGV[1], 'changed', string.sub(key, 2, -11), following)
  return { 'done', following }
end

return each(#KEYS, step)
