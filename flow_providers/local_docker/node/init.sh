#!/bin/sh
# The first process of a node, below Docker's own init: runs the node script, and stays when that has ended, as a
# machine does, so that logs can be read and shells be opened until the bid is withdrawn.
script=$FLOW_SCRIPT
unset FLOW_SCRIPT
stopping=''
trap 'stopping=yes; kill -TERM "$child" 2>/dev/null' TERM INT
# What Flow brings its own interpreter for answers on our standard input and output; see first.py.
exec 3<&0
case $FLOW_PYTHON in */*) export FLOW_FIRST=yes ;; esac
FLOW_FOREGROUND=1 sh -c "$script" &
child=$!
while kill -0 "$child" 2>/dev/null; do wait "$child"; done
while [ -z "$stopping" ]; do
  sleep 86400 &
  child=$!
  wait "$child"
done
