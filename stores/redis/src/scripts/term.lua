-- KEYS: a lease and its term record. Answers a list of one: {'term', TERM}, {'none'}, {'error', TEXT}.
local function step()
  local value, held = value_of(KEYS[1]), nil
  if value then
    local _, term = lease_of(value)
    held = term
  end
  local fine, record = pcall(read_record, KEYS[2])
  if not fine and not held then error(record, 0) end
  local kept = fine and record and record.term ~= '0' and record.term or nil
  if held and kept and tonumber(kept) > tonumber(held) then held = kept end
  local last = held or kept
  if not last then return { 'none' } end
  return { 'term', last }
end
return each(1, step)
