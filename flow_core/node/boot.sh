#!/bin/bash
# Makes a node of a task: the helper, which rides in here beside the task, installs both below $FLOW_HOME and starts.
# Every provider runs this very script; running it again changes nothing but to start a helper that doesn't run.
#   FLOW_HOME        where Flow keeps its files on the node (default /opt/flow)
#   FLOW_PYTHON      the interpreter, 3.8 or later (default python3)
#   FLOW_FOREGROUND  when set, run the helper here and now; else as a systemd unit, which outlives a reboot
exec "${FLOW_PYTHON:-python3}" -c '
import base64,zlib
HELPER,TASK,CODE=zlib.decompress(base64.b85decode(input())).split(b"\0",2)
exec(HELPER)
' <<'FLOW'
@PAYLOAD@
FLOW
