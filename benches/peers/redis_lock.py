# One candidate with python-redis-lock: told on stdin to campaign and to release, answers with the moment of each.
#
# Started with the URL, the name of the lock, and its ttl in seconds. The same words as the candidates in Rust: see src/handoff/candidate.rs.
import sys
import time

import redis
import redis_lock

client = redis.Redis.from_url(sys.argv[1])
client.ping()
lock = redis_lock.Lock(client, sys.argv[2], expire=int(sys.argv[3]) if len(sys.argv) > 3 else 15, auto_renewal=True)


def say(what, at):
    print(what, at, flush=True)


say("ready", 0)
for command in sys.stdin:
    if command.strip() == "campaign":
        lock.acquire()
        say("elected", time.clock_gettime_ns(time.CLOCK_BOOTTIME))
    else:
        at = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        lock.release()
        say("released", at)
