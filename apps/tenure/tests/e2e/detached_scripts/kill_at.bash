# Sourced by bash before a script (BASH_ENV): before each of its commands says whether the script believes to hold the lease, and kills
# it before command number KILL_AT. KILL_AT=0 kills never, and leaves the number of commands in $COUNT.
unset BASH_ENV
__commands=0
__believes() {
    local up line deadline term
    line=$(cat "$file" 2> /dev/null) || return 0
    deadline=$(sed -n 's/.*"deadline_boottime_ns":\([0-9]*\).*/\1/p' <<< "$line")
    term=$(sed -n 's/.*"term":\([0-9]*\).*/\1/p' <<< "$line")
    read -r up _ < /proc/uptime
    [ -n "$deadline" ] && ((deadline > 10#${up/./} * 10000000)) && echo "${up/./} $term" >> "$WITNESS"
    return 0
}
__before_command() {
    trap - DEBUG
    ((BASHPID == $$)) || return 0
    __commands=$((__commands + 1))
    [ -z "${file:-}" ] || __believes
    echo "$__commands" > "$COUNT"
    ((__commands != KILL_AT)) || kill -KILL $$
    trap __before_command DEBUG
}
set -o functrace
trap __before_command DEBUG
