"""Runs a script; before each of its lines says whether it believes to hold the lease, and kills it before line number KILL_AT."""
import os, runpy, signal, sys, time

script, kill_at, lines = sys.argv[1], int(os.environ["KILL_AT"]), 0
released = False
sys.argv = sys.argv[1:]


def before_line(frame, event, _):
    global lines, released
    if frame.f_code.co_filename != script:
        return None
    if event == "line":
        lines += 1
        # Who releases a lease does not believe in it any more.
        released = released or frame.f_locals.get("verb") == "release"
        lease = None if released else frame.f_globals.get("lease")
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if lease and lease["deadline_boottime_ns"] > now:
            with open(os.environ["WITNESS"], "a") as witness:
                witness.write(f"{now // 10_000_000} {lease['term']}\n")
        with open(os.environ["COUNT"], "w") as count:
            count.write(f"{lines}\n")
        if lines == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
    return before_line


sys.settrace(before_line)
runpy.run_path(script, run_name="__main__")
