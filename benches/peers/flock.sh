# One candidate with `flock` of util-linux: told on stdin to campaign and to release, answers with the moment of each.
#
# Started with the file. The same words as the candidates in Rust: see src/handoff/candidate.rs. The moments are those of
# the wall clock: both shells read the same one.
LC_ALL=C
echo "ready 0"
while read -r command; do
    if [ "$command" = campaign ]; then
        exec 9> "$1"
        flock 9
        echo "elected ${EPOCHREALTIME/./}000"
    else
        at=${EPOCHREALTIME/./}000
        exec 9>&-
        echo "released $at"
    fi
done
