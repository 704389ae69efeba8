"""One call by OpenSSH's own client, for what is read off a node in bulk and needs no ending when nobody listens.

It begins sooner than a connection of ours, which takes a fifth of a second to load, and it decrypts in C. What it can't
do, such as ask for a passphrase or say in our words why a node gave no answer, is left to ours: it then says nothing.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Generator, Sequence

from flow_adapters.ssh.openssh import OWN_FAILURE
from flow_core.domain.allocation import Node
from flow_core.domain.run import Stream
from flow_core.ports.shell import NodeEvent, NodeExit, NodeLost, NodeOutput

#: What a call must not have of the user's settings; the first word on each counts. Source: ssh_config(5).
_PLAIN = (
    "BatchMode=yes",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
    "SendEnv=-*",
)
#: How much is read at once, and how much the pipe may hold: the most for a user who isn't root. Source: pipe(7).
#: Larger pieces cost more in fresh memory than they save in turns.
_PIECE = 64 << 10
_PIPE = 1 << 20
#: More than ssh says of itself.
_MOST_HELD = 64 << 10


def piped(
    program: str, node: Node, line: str, *, options: Sequence[str], timeout_s: float | None
) -> Generator[NodeEvent, None, bool]:
    """Yield what happens as it happens; return whether anything did, for where not the call may be made again."""
    assert node.address is not None
    plain = [word for each in _PLAIN for word in ("-o", each)]
    words = [program, *plain, *options, "-T", "--", node.address.host, line]
    ends = None if timeout_s is None else time.monotonic() + timeout_s
    pipe = subprocess.PIPE
    try:
        ssh = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, bufsize=0)
    except OSError:
        return False
    assert ssh.stdout is not None
    assert ssh.stderr is not None
    streams = {ssh.stdout.fileno(): Stream.OUT, ssh.stderr.fileno(): Stream.ERR}
    heard = False
    held = b""  # what was said on standard error before: by the call, or by ssh itself
    try:
        with selectors.DefaultSelector() as ready:
            for each in streams:
                ready.register(each, selectors.EVENT_READ)
            _widen(ssh.stdout.fileno())
            while ready.get_map():
                left = None if ends is None else max(ends - time.monotonic(), 0)
                found = ready.select(left)
                if not found:
                    yield NodeLost(node, f"did not end within {timeout_s:g} s, and is being ended")
                    return True
                for key, _ in found:
                    data = os.read(key.fd, _PIECE)
                    if not data:
                        ready.unregister(key.fd)
                    elif not heard and streams[key.fd] is Stream.ERR and len(held) < _MOST_HELD:
                        held += data
                    else:
                        heard = True
                        if held:
                            yield NodeOutput(node, Stream.ERR, held)
                            held = b""
                        yield NodeOutput(node, streams[key.fd], data)
        code = ssh.wait()
        if code in (OWN_FAILURE, *range(-64, 0)):
            if heard:
                yield NodeLost(node, f"the connection to {node.address.host} was lost")
            return heard
        if held:
            yield NodeOutput(node, Stream.ERR, held)
        yield NodeExit(node, code)
        return True
    finally:
        if ssh.poll() is None:
            ssh.kill()
        ssh.wait()
        ssh.stdout.close()
        ssh.stderr.close()


def _widen(pipe: int) -> None:
    """Let a pipe hold more, where the system has room; each filling is one turn of the loop."""
    import fcntl

    try:
        fcntl.fcntl(pipe, getattr(fcntl, "F_SETPIPE_SZ", 1031), _PIPE)
    except OSError:
        return
