-- KEYS: a term record. ARGV 'read': answers its text, or false. ARGV 'swap', the text that must stand there ('' for none), the
-- one that is to ('' for none), for how many milliseconds. Answers whether that was done.
local text = redis.call('GET', KEYS[1])
if ARGV[1] == 'read' then return text end
if (text or '') ~= ARGV[2] then return 0 end
if ARGV[3] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
end
return 1
