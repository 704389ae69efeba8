"""Sessions with a cloud whose nodes are servers on loopback, for the program that `flow_in_cloud` is."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from attrs import evolve

from flow_adapters.log_keep import FolderLogKeep
from flow_adapters.ssh import SshShell
from flow_adapters.ssh_ahead import Logins, folder_of
from flow_cli.app import cli
from flow_cli.invocation import Invocation
from flow_core.services.session import Session
from tests.ssh.cloud import Cloud, write_peak


def shell_in(cloud: Cloud) -> SshShell:
    """A shell that keeps what it knows in the cloud's folder; its nodes have all that Flow puts there in it too."""
    folder = Path(cloud.folder)
    return SshShell(
        state_dir=folder / "state",
        keys=[Path(cloud.key)],
        workspace="work",
        home=folder,
        sudo=(),
        flow_home=str(folder / "flow-home"),
        connect_timeout_s=cloud.connect_timeout_s,
        logins=Logins(folder_of(folder / "state")),
    )


def _session(cloud: Cloud, verb: str) -> Session:
    folder, session = Path(cloud.folder), cloud.session(shell_in(cloud))
    session.ports = evolve(session.ports, log_keep=FolderLogKeep(folder / "logs"))
    if verb == "upload":
        from flow_adapters.packing import TarCodeStore

        session.ports = evolve(session.ports, code=TarCodeStore(folder / "code-store"))
    return session


def run(words: Sequence[str]) -> int:
    """Run one command of `flow` in the cloud that the first word's file describes; write down its peak of memory."""
    cloud = Cloud(**json.loads(Path(words[0]).read_text()))
    environ = {**os.environ, "FLOW_STATE_DIR": str(Path(cloud.folder) / "state")}
    invocation = Invocation(connect=lambda *_: _session(cloud, words[1]), environ=environ)
    code: int = cli.main(list(words[1:]), prog_name="flow", standalone_mode=False, obj=invocation)
    write_peak(cloud)
    return code
