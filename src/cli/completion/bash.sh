# Completions of skip-heapprof for bash: the tool says what may stand at the cursor.
_skip_heapprof() {
    local cur=$2 line word i
    local -a words=()
    COMPREPLY=()
    # bash takes `--color=auto` for three words.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if ((i > 1)) && [[ $word == = || ${COMP_WORDS[i - 1]} == = ]] && [[ ${words[${#words[@]} - 1]} == --* ]]; then
            words[${#words[@]} - 1]+=$word
        else
            words+=("$word")
        fi
    done
    [[ $cur == = ]] && cur=
    local tool=$1
    type "$tool" >/dev/null 2>&1 || tool=skip-heapprof
    while IFS= read -r line; do
        case $line in
        :files)
            compopt -o filenames 2>/dev/null
            while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "$cur")
            ;;
        :folders)
            compopt -o filenames 2>/dev/null
            while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -d -- "$cur")
            ;;
        :programs)
            if [[ $cur == */* || $cur == .* ]]; then
                compopt -o filenames 2>/dev/null
                while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "$cur")
            else
                while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -c -- "$cur" | sort -u)
            fi
            ;;
        :arguments\ *)
            # Arguments of the program are its own to complete.
            if declare -F _command_offset >/dev/null; then
                _command_offset $((${line#:arguments } + 1))
            else
                compopt -o filenames 2>/dev/null
                while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "$cur")
            fi
            ;;
        *) COMPREPLY+=("${line%%$'\t'*}") ;;
        esac
    done < <("$tool" __complete "${words[@]:1}" 2>/dev/null)
}
complete -F _skip_heapprof skip-heapprof
