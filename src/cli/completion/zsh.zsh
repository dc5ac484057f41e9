#compdef skip-heapprof
# Completions of skip-heapprof for zsh: the tool says what may stand at the cursor.
_skip_heapprof() {
    local line word about n
    local -a lines plain options
    local tool=${(Q)words[1]}
    (( $+commands[$tool] )) || [[ -x $tool ]] || tool=skip-heapprof
    lines=("${(@f)$($tool __complete "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    compset -P '--[a-z-]##='
    for line in $lines; do
        case $line in
        :files) _files ;;
        :folders) _files -/ ;;
        :programs)
            _command_names -e
            _files -g '*(-*)'
            ;;
        :arguments\ *)
            # Arguments of the program are its own to complete.
            n=${line#:arguments }
            shift n words
            (( CURRENT -= n ))
            _normal
            ;;
        ?*)
            word=${line%%$'\t'*}
            about=${line#*$'\t'}
            if [[ $word == -* ]]; then
                options+=("${word//:/\\:}:$about")
            else
                plain+=("${word//:/\\:}:$about")
            fi
            ;;
        esac
    done
    (( $#plain )) && _describe 'skip-heapprof' plain
    (( $#options )) && _describe -o 'option' options
}
if [[ $funcstack[1] == _skip_heapprof ]]; then
    _skip_heapprof "$@"
else
    compdef _skip_heapprof skip-heapprof
fi
