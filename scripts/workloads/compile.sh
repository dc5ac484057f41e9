#!/bin/sh
# compile.sh SOURCE TIMES: compiles the C file so many times, in three processes each (gcc, cc1, as).
left=$2
while [ "$left" -gt 0 ]; do
    gcc -O1 -c -o /dev/null "$1" || exit 1
    left=$((left - 1))
done
