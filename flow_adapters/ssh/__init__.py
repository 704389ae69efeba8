"""Commands and files on nodes over SSH: the one async room, behind a door without `await`.

Importing this loads none of asyncssh; the first call to a node does.
"""

from __future__ import annotations

from flow_adapters.ssh.shell import SshShell

__all__ = ["SshShell"]
