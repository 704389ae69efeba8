"""Boots a node as whoever runs this, and says what it found: `as_user.py FOLDER`, JSON on stdout."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.sim_nodes.kit import AT, ID, Cloud

SCRIPT = """#!/bin/bash
set -e
id -u
echo changed >>/etc/hostname
mkdir -p /opt/made
cat >/etc/systemd/system/one.service <<EOF
[Service]
ExecStart=/bin/sh -c 'echo ran >>/opt/made/runs; exec sleep 1000'
[Install]
WantedBy=multi-user.target
EOF
systemctl daemon-reload
systemctl enable --now one
"""
LINES = {
    "user": "echo $USER; id -u; echo $HOME; hostname",
    "sudo": "sudo -n id -u; sudo touch /etc/made /usr/bin/made && echo made",
    "service": "systemctl is-active one; cat /opt/made/runs",
    "terminal": "tty; exit 8",
    "log": "cat /var/log/foundry/startup_script.log",
    "input": "wc -c",
}


def main(folder: Path) -> None:
    """Boot, ask, stop, boot, ask again, destroy."""
    cloud = Cloud(folder)
    found: dict[str, object] = {"why_bare": cloud.nodes.why_bare}
    try:
        if cloud.nodes.why_bare is None:
            cloud.boot(SCRIPT)
            found["script"] = cloud.until_script_ended()
            for name, line in LINES.items():
                options = ("-tt",) if name == "terminal" else ()
                said = cloud.ssh(
                    line, options=options, **({"input": "x" * 300_000} if name == "input" else {})
                )
                found[name] = [said.returncode, said.stdout.replace("\r", ""), said.stderr]
            cloud.nodes.stop(ID, at=AT)
            cloud.until_down()
            cloud.boot(SCRIPT)
            again = cloud.ssh("until [ $(wc -l </opt/made/runs) = 2 ]; do :; done; ls /etc/made")
            found["again"] = [again.returncode, again.stdout, again.stderr]
    finally:
        found["console"] = cloud.nodes.console(ID)
        cloud.close()
    found["left"] = sorted(each.name for each in cloud.nodes.folder(ID).glob("*"))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
