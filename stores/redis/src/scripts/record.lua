-- KEYS: a term record. ARGV 'read': answers its text, or false. ARGV 'swap' OLD NEW MILLIS ('' for no record, '0' for no
-- expiry): replaces the record where its text is OLD, and answers whether it was.
local text = redis.call('GET', KEYS[1])
if ARGV[1] == 'read' then return text end
if (text or '') ~= ARGV[2] then return 0 end
if ARGV[3] == '' then
  redis.call('DEL', KEYS[1])
elseif ARGV[4] == '0' then
  redis.call('SET', KEYS[1], ARGV[3])
else
  redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
end
return 1
