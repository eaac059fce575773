-- Says what became of a lease: 'freed', or 'taken' by a new tenure. A refusal (by an access rule, or as the channel is on
-- another node) never undoes the step.
local function publish(command, channel, change, lease)
  if type(redis.pcall(command, channel, change .. ' ' .. lease)) == 'number' then return 'published' end
  return 'unpublished'
end
