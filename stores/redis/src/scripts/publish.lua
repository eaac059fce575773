-- Says that a key came free. A refusal (by an access rule, or as the channel is on another node) never undoes the step.
local function publish(command, channel, lease)
  if type(redis.pcall(command, channel, lease)) == 'number' then return 'published' end
  return 'unpublished'
end
