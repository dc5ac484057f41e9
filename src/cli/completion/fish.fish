# Completions of skip-heapprof for fish: the tool says what may stand at the cursor.
function __skip_heapprof_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l before (string match -r -- '^--[a-z-]+=' $current)
    for line in ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
        switch $line
            case ':files'
                __fish_complete_path (string replace -- "$before" '' $current) | string replace -r '^' -- "$before"
            case ':folders'
                __fish_complete_directories (string replace -- "$before" '' $current) | string replace -r '^' -- "$before"
            case ':programs'
                complete -C "command $current"
            case ':arguments *'
                # Arguments of the program are its own to complete.
                set -l first (math (string replace ':arguments ' '' $line) + 1)
                complete -C (string join ' ' -- (string escape -- $words[$first..-1]) $current)
            case '*'
                printf '%s\n' "$before$line"
        end
    end
end
complete -c skip-heapprof -f -a '(__skip_heapprof_complete)'
