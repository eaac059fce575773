
# Besides what is generated: --flag=VALUE, URLs, and the command behind `--`.
_tenure_complete() {
    local -a words=()
    local word glued="" place=0 here=$COMP_CWORD
    for word in "${COMP_WORDS[@]}"; do
        if [[ $word == -- && $place -gt 1 && $place -lt $COMP_CWORD ]]; then
            if declare -F _command_offset > /dev/null; then
                _command_offset $((place + 1))
            elif [[ $((place + 1)) -eq $COMP_CWORD ]]; then
                mapfile -t COMPREPLY < <(compgen -c -- "$2")
            fi
            return
        fi
        # bash breaks words at `=` and `:`.
        if [[ $place -gt 0 && ($word == : || -n $glued) ]]; then
            words[-1]+=$word
            [[ $place -gt $COMP_CWORD ]] || here=$((here - 1))
            [[ $word == : ]] && glued=yes || glued=""
        elif [[ $word == "=" && $place -gt 0 && $place -ne $COMP_CWORD ]]; then
            [[ $place -gt $COMP_CWORD ]] || here=$((here - 1))
        elif [[ $word == "=" ]]; then
            words+=("")
        else
            words+=("$word")
        fi
        place=$((place + 1))
    done
    local COMP_CWORD=$here
    local -a COMP_WORDS=("${words[@]}")
    word=${words[here]}
    _tenure "$1" "$word" "${words[here - 1]}"
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[:/] ]]; then
        compopt -o nospace 2> /dev/null
    fi
    # What stands before the last `:` is there already.
    if [[ $word == *:* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*:}"}"}")
    fi
}

complete -F _tenure_complete -o bashdefault -o default tenure
