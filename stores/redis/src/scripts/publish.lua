-- Publishes what became of a lease: 'freed', or 'taken' by a new tenure. In a cluster every node passes it to its subscribers.
-- A refusal (by an ACL rule) never undoes the step.
local function publish(channel, change, lease)
  redis.pcall('PUBLISH', channel, change .. ' ' .. lease)
end
