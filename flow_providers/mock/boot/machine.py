"""The program behind a booting node: makes its namespaces, has its first process run there, and minds its end.

Three processes. The keeper stands outside, holds the node's lock, and does what must be done when the node is over:
empties the fast disk, drops the boot disk. Below it, for each boot, a process makes the namespaces, and its child is
process 1 in them. TERM is passed down and ends the node in good order; USR1 is a power cut. The kernel ends whoever
loses a parent here, and with process 1 all of the node: neither processes nor mounts outlive it.

`power.json`, `init.lock` and `init.pid` work as in `node_init`, which tells why.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from flow_providers.mock import fake_gpu
from flow_providers.mock.boot import first, guest_sudo, guest_systemctl, loops, rootfs, syscalls
from flow_providers.mock.node_folder import NodeFolder, read_json, write_text

_UNSEEN = (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD)
#: Real seconds between two looks whether a node's folder is still there.
_LOOK_S = 5.0
_PYTHONS = ("/usr/bin/python3", "/usr/local/bin/python3")
#: What an end with a reason on the console looks like.
_REFUSED = 70


def main(folder: Path, number: int) -> int:
    """Play the node in `folder` for as long as its power is on."""
    with contextlib.suppress(OSError):
        os.setsid()
    _load_now()
    lock = _hold(folder, number)
    if lock is None:
        return 0
    for each in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, _UNSEEN)
    write_text(folder / "init.pid", json.dumps({"pid": os.getpid(), "number": number}))
    kept = NodeFolder(folder)
    while kept.power() == ("on", number):
        if _relayed(_forked(lambda: _boot(folder)), while_there=folder) != first.AGAIN:
            break
    if folder.exists():
        (folder / "init.pid").unlink(missing_ok=True)
        clear(folder)
    return 0


def clear(folder: Path) -> None:
    """Drop what a node that is over doesn't keep: the fast disk when it was stopped, all disks when it is gone."""
    wanted = NodeFolder(folder).power()[0]
    if wanted in ("off", "gone"):
        remove(folder / "local")
    if wanted == "gone":
        _keep_log(folder)
        for name in ("disk", "view", "home"):
            remove(folder / name)
        for name in ("init.sock", "host_key", "keys"):
            (folder / name).unlink(missing_ok=True)


def remove(place: Path) -> None:
    """Delete a folder with all that is in it, whatever the rights of its own folders say."""

    if not _is_root():
        for folder, names, _ in os.walk(place):
            for name in names:
                inner = Path(folder, name)
                if not inner.is_symlink():
                    inner.chmod(0o700)
    shutil.rmtree(place, ignore_errors=True)


def attempt(folder: Path) -> str | None:
    """Return why a node can't be made here, or None; `folder` is an empty one where nodes would be, and is used up."""
    told, tell = os.pipe()
    # Asked outside: within its own user namespace everybody is root.
    is_root = _is_root()

    def make() -> int:
        os.close(told)
        try:
            _namespaces()
            return _waited(_forked(lambda: _try_root(folder, tell, is_root)))
        except OSError as exc:
            os.write(tell, (exc.strerror or str(exc)).encode())
            return 1

    pid = _forked(make)
    os.close(tell)
    with os.fdopen(told, "rb") as answer:
        reason = answer.read().decode()
    status = _waited(pid)
    return reason or ("a node that was tried ended at once" if status else None)


def _try_root(folder: Path, tell: int, is_root: bool) -> int:
    local = folder / "local"
    local.mkdir(parents=True, exist_ok=True)
    try:
        rootfs.Root(folder, is_root=is_root).make([], [], local=local, hidden=str(folder))
        Path("/etc/node-tried").write_text("")
    except OSError as exc:
        where = f": {exc.filename}" if exc.filename else ""
        os.write(tell, f"{exc.strerror or exc}{where}".encode())
        return 1
    return 0


def _boot(folder: Path) -> int:
    """Make the namespaces and have the first process run; return its exit code."""
    syscalls.die_with_parent(signal.SIGKILL)
    if read_json(folder / "node.json")["bare"]:
        return _bare(folder)
    is_root = _is_root()
    try:
        _namespaces()
    except OSError as exc:
        sys.stderr.write(f"node: {exc.strerror or exc}\n")
        return _REFUSED
    return _relayed(_forked(lambda: _first(folder, is_root)))


def _namespaces() -> None:
    if not _is_root():
        syscalls.become_root_of_users()
    syscalls.unshare(syscalls.NEW_MOUNTS | syscalls.NEW_PIDS)
    for each in (syscalls.NEW_HOSTNAME, syscalls.NEW_IPC):
        with contextlib.suppress(OSError):
            syscalls.unshare(each)


def _first(folder: Path, is_root: bool) -> int:
    syscalls.die_with_parent(signal.SIGKILL)
    os.umask(0o022)
    # Before the plan is read: what changes in it afterwards comes over the socket.
    listener = _listening(folder)
    plan = read_json(folder / "node.json")
    (folder / "local").mkdir(exist_ok=True)
    try:
        devices, _kept_open = _devices(plan["blocks"])
        python, binds = _python()
        binds += [rootfs.Bound(*each) for each in plan["binds"]]
        programs = _programs(plan, python)
        rootfs.Root(folder, is_root=is_root).make(
            binds, devices, local=folder / "local", hidden=plan["hidden"]
        )
        with contextlib.suppress(OSError):
            syscalls.name_host(plan["name"][:63])
        syscalls.withhold_capabilities()
        return first.run_machine(listener, plan, programs, python=python, is_root=is_root)
    except OSError as exc:
        where = f"{exc.filename}: " if exc.filename else ""
        sys.stderr.write(f"node: {where}{exc.strerror or exc}\n")
        return _REFUSED


def _bare(folder: Path) -> int:
    from flow_providers.mock.boot.children import descendants, tell

    syscalls.adopt_orphans()
    listener = _listening(folder)
    code = first.run_bare(listener, read_json(folder / "node.json"), folder)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in descendants(os.getpid()):
            tell(pid, number)
    return code


def _devices(blocks: list[dict[str, Any]]) -> tuple[list[rootfs.Device], list[int]]:
    found, held = [], []
    for place, each in enumerate(blocks):
        keeper, number = loops.attach(Path(each["file"]))
        held.append(keeper)
        found.append(
            rootfs.Device(number, f"vd{chr(ord('d') + place)}", f"virtio-{each['id'][:20]}")
        )
    return found, held


def _python() -> tuple[str, list[rootfs.Bound]]:
    """Return the interpreter of the node's own programs, and what must be bound for it to be there."""
    for each in _PYTHONS:
        if Path(each).exists():
            return each, []
    real = os.path.realpath(sys.executable)
    return real, [rootfs.Bound(sys.base_prefix, sys.base_prefix, True)]


def _programs(plan: dict[str, Any], python: str) -> dict[str, str]:
    gpu = Path(fake_gpu.__file__).read_text()
    count, label, memory = plan["gpus"]
    asked = f"answer({count}, {label!r}, {memory}, sys.argv[1:])"
    return {
        "sudo": Path(guest_sudo.__file__).read_text(),
        "systemctl": Path(guest_systemctl.__file__).read_text(),
        "mount": _mount([path for _, path, _ in plan["binds"] if path.startswith("/mnt/")]),
        "nvidia-smi": f"#!{python} -IS\n"
        + gpu.partition('if __name__ == "__main__":')[0]
        + f"_code, _text = {asked}\nsys.stdout.write(_text)\nsys.exit(_code)\n",
    }


def _mount(shares: list[str]) -> str:
    """Return a `mount` that lists file volumes as the service's machines do, and else is the machine's own.

    They are folders here and virtiofs there, and scripts in the wild ask `mount -t virtiofs` where they lie. Source:
    contract section 5.
    """
    told = "".join(
        f"  echo {shlex.quote(f'{Path(path).name} on {path} type virtiofs (rw,relatime)')}\n"
        for path in shares
    )
    return (
        '#!/bin/sh\nif [ "$*" = "-t virtiofs" ]; then\n'
        f"{told}  exit 0\nfi\n"
        'exec "$(PATH=/usr/sbin:/usr/bin:/sbin:/bin command -v mount)" "$@"\n'
    )


def _listening(folder: Path) -> socket.socket:
    """Listen on the node's socket, whose path may be longer than a socket's name may."""
    place = folder / "init.sock"
    place.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    with socket_name(folder) as name:
        listener.bind(name)
    place.chmod(0o600)
    listener.listen(128)
    return listener


@contextlib.contextmanager
def socket_name(folder: Path) -> Any:
    """Give a short name for the socket in `folder`, good while entered."""
    long = str(folder / "init.sock")
    if len(os.fsencode(long)) < 100:
        yield long
        return
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{held}/init.sock"
    finally:
        os.close(held)


def _load_now() -> None:
    """Load what is otherwise loaded when first used: later it may be out of sight."""
    import encodings.idna
    import fcntl
    import pwd
    import termios
    import traceback

    del encodings, fcntl, pwd, termios, traceback


def _keep_log(folder: Path) -> None:
    """Keep a node's last words, of all that was on its disk."""
    link = folder / "flow"
    if not link.is_symlink():
        return
    kept = folder / "flow.kept"
    kept.mkdir(exist_ok=True)
    for name in ("state.json", "log", "log.index"):
        with contextlib.suppress(OSError):
            (link / name).replace(kept / name)
    link.unlink()
    kept.replace(link)


def _hold(folder: Path, number: int) -> int | None:
    """Hold the node's lock; None where another keeper is there for this boot, or it isn't wanted any more."""
    import fcntl

    lock = os.open(folder / "init.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            there = read_json(folder / "init.pid").get("number") == number
            if there or NodeFolder(folder).power() != ("on", number):
                return None
            time.sleep(0.02)  # noqa: TID251
        else:
            return lock


def _forked(work: Any) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = _REFUSED
    try:
        code = work()
    except BaseException:  # noqa: BLE001
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _relayed(pid: int, *, while_there: Path | None = None) -> int:
    """Pass signals on to a child until it ends; return its exit code. It ends when the folder given has gone."""
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if not sys.platform.startswith("linux"):
            told = signal.sigwait(_UNSEEN)
            if told != signal.SIGCHLD:
                os.kill(pid, signal.SIGTERM if told == signal.SIGTERM else signal.SIGKILL)
            continue
        told = signal.sigtimedwait(_UNSEEN, _LOOK_S)
        if told is None:
            if while_there is not None and not while_there.exists():
                os.kill(pid, signal.SIGKILL)
        elif told.si_signo == signal.SIGTERM:
            os.kill(pid, signal.SIGTERM)
        elif told.si_signo == signal.SIGUSR1:
            os.kill(pid, signal.SIGKILL)


def _waited(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _is_root() -> bool:
    return os.geteuid() == 0
