"""The `systemctl` of a booting node: asks its first process and says what it answered.

A program of the node's, with the standard library of whatever Python 3.8 or later the node has.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

SOCKET = "/run/node/systemctl"
_POWER = ("poweroff", "reboot", "halt", "shutdown")


def main(arguments: list[str]) -> int:
    """Do as asked; return the exit code that systemctl would."""
    name = Path(sys.argv[0]).name
    if name in _POWER:
        again = name == "reboot" or "-r" in arguments
        arguments = ["reboot" if again else "poweroff"]
    with socket.socket(socket.AF_UNIX) as asked:
        try:
            asked.connect(SOCKET)
        except OSError as error:
            sys.stderr.write(f"systemctl: the node's first process: {error.strerror}\n")
            return 1
        asked.sendall(json.dumps({"arguments": arguments}).encode() + b"\n")
        with asked.makefile() as answered:
            line = answered.readline()
    if not line:
        return 1
    answer = json.loads(line)
    sys.stdout.write(answer["out"])
    sys.stderr.write(answer["err"])
    return int(answer["code"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
