"""A node's first process: starts services and the startup script, serves the SSH door, and ends everything.

Everything it needs is imported before the root changes: afterwards the interpreter's own files may be out of sight.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import define

from flow_providers.mock.boot import furnish
from flow_providers.mock.boot.calls import Account, Calls
from flow_providers.mock.boot.children import Children, Start, exit_code
from flow_providers.mock.boot.control import Control
from flow_providers.mock.boot.furnish import Furnished
from flow_providers.mock.boot.guest_systemctl import SOCKET

#: What the first process ends with to be booted again.
AGAIN = 64
#: Seconds that what is no service has between TERM and the end.
_LEFTOVER_S = 2.0
#: Where the startup script's exit code is written when it has ended.
SCRIPT_EXIT = Path("/var/lib/foundry/startup_script.exit")


def run_machine(
    listener: socket.socket,
    plan: Mapping[str, Any],
    programs: Mapping[str, str],
    *,
    python: str,
    is_root: bool,
) -> int:
    """Be process 1 of a node with a root of its own; return its exit code."""
    import pwd

    furnished = Furnished(is_root=is_root)
    is_first = furnished.make(plan, programs, python)
    user = (furnished.uid, furnished.gid, (furnished.gid,)) if is_root else None
    account = Account(
        user=user,
        home=furnish.HOME,
        name=furnish.USER,
        shell=pwd.getpwnam(furnish.USER).pw_shell,
        env={"PATH": furnish.PATH, "LANG": "C.UTF-8"},
    )
    return asyncio.run(_Machine(plan, account, is_first, furnished).live(listener))


def run_bare(listener: socket.socket, plan: Mapping[str, Any], folder: Path) -> int:
    """Be the first process of a node that is only a folder: no script, no services; return its exit code."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    user = None
    if os.geteuid() == 0:
        # Root of this machine is nobody's to have.
        user = (65534, 65534, (65534,))
        os.chown(home, 65534, 65534)
    shell = "/bin/bash" if Path("/bin/bash").exists() else "/bin/sh"
    env = {"PATH": furnish.PATH, "LANG": "C.UTF-8"}
    account = Account(user=user, home=str(home), name=furnish.USER, shell=shell, env=env)
    return asyncio.run(_Machine(plan, account, False, None).live(listener))


@define(eq=False)
class _Machine:
    _plan: Mapping[str, Any]
    _account: Account
    _is_first: bool
    _furnished: Furnished | None

    async def live(self, listener: socket.socket) -> int:
        loop = asyncio.get_running_loop()
        leaving: asyncio.Future[bool] = loop.create_future()

        def leave(again: bool) -> None:
            if not leaving.done():
                leaving.set_result(again)

        loop.add_signal_handler(signal.SIGTERM, leave, False)
        children = Children(loop)
        # What came before there was a handler would have been lost on process 1.
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        control = Control(children, leave)
        calls = Calls(children, self._account, self._new_fellows)
        tasks = [loop.create_task(calls.serve(listener))]
        if self._furnished is not None:
            tasks += [
                loop.create_task(_answer_systemctl(control)),
                loop.create_task(self._boot(control, children)),
            ]
        again = await leaving
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        listener.close()
        calls.hang_up()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(control.stop_all(), float(self._plan["grace_s"]))
        await _end_all()
        return AGAIN if again else 0

    def _new_fellows(self, fellows: list[tuple[str, str]]) -> None:
        if self._furnished is not None:
            self._furnished.hosts({**self._plan, "fellows": fellows})

    async def _boot(self, control: Control, children: Children) -> None:
        await control.start_enabled()
        if not self._is_first or self._furnished is None:
            return
        # Before it runs: a machine that loses power during its first boot has had it.
        self._furnished.mark_booted()
        if not self._plan["script"]:
            return
        log = os.open(furnish.SCRIPT_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        env = {"PATH": furnish.PATH, "LANG": "C.UTF-8", "HOME": "/root", "USER": "root"}
        try:
            child = children.start(
                Start(command=[str(furnish.SCRIPT)], env=env, fds=(nothing, log, log))
            )
            code = exit_code(await child.ended)
        except OSError as exc:
            os.write(log, f"{furnish.SCRIPT}: {exc.strerror}\n".encode())
            code = 126
        finally:
            os.close(log)
            os.close(nothing)
        SCRIPT_EXIT.write_text(f"{code}\n")


async def _answer_systemctl(control: Control) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ValueError):
            raw: socket.socket = writer.get_extra_info("socket")
            peer = raw.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            asked = json.loads(await reader.readline())
            found = await control.answer(
                asked["arguments"], is_root=struct.unpack("3i", peer)[1] == 0
            )
            told = {"out": found.out, "err": found.err, "code": found.code}
            writer.write(json.dumps(told).encode() + b"\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, SOCKET)
    Path(SOCKET).chmod(0o666)
    async with server:
        await server.serve_forever()


async def _end_all() -> None:
    """Ask whoever is left to end; what doesn't ends with this process."""
    if os.getpid() != 1:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGTERM)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _LEFTOVER_S
    while loop.time() < deadline and _any_left():
        await asyncio.sleep(0.02)


def _any_left() -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return True
    return False
