#!/bin/sh
# serve.sh FOLDER REQUESTS COMMAND...: starts the command, which is a Redis server that takes further
# arguments from here, drives it with redis-benchmark through a socket in the folder, and ends it.
socket=$1/redis.sock requests=$2
shift 2
"$@" --port 0 --unixsocket "$socket" --save '' --dir "${socket%/*}" >/dev/null &
server=$!
until redis-cli -s "$socket" ping >/dev/null 2>&1; do
    kill -0 "$server" || exit 1
    sleep 0.01
done
redis-benchmark -s "$socket" -q -n "$requests" -r 20000 -P 16 -t set,lpush,hset,zadd,mset \
    >/dev/null || exit 1
redis-cli -s "$socket" shutdown nosave >/dev/null 2>&1
wait "$server"
