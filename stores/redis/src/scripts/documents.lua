-- KEYS: documents, see document.lua. Answers where there is one: {'document', VERSION, VALUE}, {'unreadable'}, {'error', TEXT}.
local function step(i)
  local text, other = value_of(KEYS[i])
  if other then return { 'unreadable' } end
  if not text then return nil end
  local version = string.match(text, '^(%x+) ')
  if not version or #version ~= 32 then return { 'unreadable' } end
  return { 'document', version, string.sub(text, #version + 2) }
end

return each(#KEYS, step)
