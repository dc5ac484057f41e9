#!/bin/sh
# Installs skip-heapprof from the folder that this script is in.
#
# Usage: ./install.sh [PREFIX]
#
# PREFIX is /usr/local for root and ~/.local for others. `./install.sh --uninstall [PREFIX]` removes the
# files again.
set -eu

uninstall=
if [ "${1:-}" = --uninstall ]; then
    uninstall=1
    shift
fi
first=${1:-}
if [ $# -gt 1 ] || [ "${first#-}" != "$first" ]; then
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
if [ "$(id -u)" = 0 ]; then
    prefix=${1:-/usr/local}
else
    prefix=${1:-$HOME/.local}
fi

cd "$(dirname "$0")"
files=$(find bin lib include share -type f)
echo "$files" | while IFS= read -r file; do
    if [ -n "$uninstall" ]; then
        rm -f "$prefix/$file"
        continue
    fi
    mkdir -p "$prefix/$(dirname "$file")"
    # By a rename: a tool or a library that is in use stays as it is.
    cp "$file" "$prefix/$file.new"
    mv -f "$prefix/$file.new" "$prefix/$file"
done
if [ -n "$uninstall" ]; then
    # Folders that nobody else has files in.
    rmdir "$prefix/lib/skip-heapprof" 2>/dev/null || :
    find "$prefix/share/doc/skip-heapprof" -depth -type d -exec rmdir {} + 2>/dev/null || :
    echo "removed from $prefix"
    exit
fi
"$prefix/bin/skip-heapprof" --version
echo "installed in $prefix"
case ":$PATH:" in
*":$prefix/bin:"*) ;;
*) echo "$prefix/bin is not on PATH: add it, or call $prefix/bin/skip-heapprof" ;;
esac
