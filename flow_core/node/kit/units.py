"""Starts what goes on beside the helper: a unit of systemd's, which a reboot starts again, else a process of its own.

Python 3.8, standard library only.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys

from flow_core.node.node_store import HOME, opened, path, write

_FOLDER = "/etc/systemd/system"
#: A node whose helper is a unit has a systemd that takes another.
_HELPER = "flow-node.service"
_UNIT = """[Unit]
Wants=network-online.target
After=network-online.target remote-fs.target
[Service]
Environment="FLOW_HOME=%s"
ExecStart="%s" "%s" %s
KillMode=mixed
TimeoutStopSec=30
Restart=on-failure
RestartSec=15
[Install]
WantedBy=multi-user.target
"""


def keep_running(name: str, verb: str) -> None:
    """Start the kit's `verb` under `name`, unless it runs; it holds a lock of its own while it does."""
    words, null = [sys.executable, path("kit.zip"), verb], subprocess.DEVNULL
    is_unit = os.path.exists(os.path.join(_FOLDER, _HELPER)) and os.access(_FOLDER, os.W_OK)
    if is_unit and shutil.which("systemctl"):
        service = os.path.join(_FOLDER, name + ".service")
        write(service, (_UNIT % (HOME, *words)).encode())
        line = "systemctl daemon-reload && systemctl enable --now %s" % name
        if subprocess.call(line, shell=True, stdin=null, stdout=null, stderr=null) == 0:
            return
    env = dict(os.environ, FLOW_HOME=HOME)
    subprocess.Popen(words, env=env, stdin=null, stdout=null, stderr=null, start_new_session=True)


def is_first(lock: str) -> bool:
    """Take the lock of that name for as long as this process lives; False where another has it."""
    held = opened(lock)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        return False
    os.pwrite(held, b"%-20d" % os.getpid(), 0)
    return True
