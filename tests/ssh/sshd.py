"""OpenSSH's own server as a test's part: on a loopback port, with keys and settings of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path

import pytest

#: Where servers live that aren't on a user's PATH.
PLACES = ("/usr/sbin", "/usr/local/sbin", "/sbin")
STARTS_WITHIN_S = 20.0
ATTEMPTS = 5


def sshd_path() -> str:
    """The server's program; where there is none the test is skipped, and fails in CI."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *PLACES])
    for program in ("sshd", "ssh-keygen"):
        if shutil.which(program, path=path) is None:
            say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
            say(f"needs OpenSSH's server, and this machine has no {program}")
    return str(shutil.which("sshd", path=path))


def new_key(path: Path, *, kind: str = "ed25519", passphrase: str = "", form: str = "") -> Path:
    """Make a key pair at `path` and return it; `form` is ssh-keygen's -m, such as PKCS8."""
    line = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", str(path)]
    subprocess.run([*line, *(["-m", form] if form else [])], check=True, stdin=subprocess.DEVNULL)
    return path


class Sshd:
    """A server that knows one user: whoever runs the test, by the keys in `authorized_keys`."""

    def __init__(self, folder: Path, *, settings: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.settings = settings
        self.port = 0
        self.said: deque[str] = deque(maxlen=2_000)
        self._program = sshd_path()
        self._process: subprocess.Popen[str] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.home = folder / "home"
        self.home.mkdir()
        self.user_key = new_key(folder / "user")
        self.authorized_keys = folder / "authorized_keys"
        self.authorized_keys.write_text((folder / "user.pub").read_text())
        self.host_key = new_key(folder / "host")

    def start(self) -> None:
        """Listen on `port`, or on a free one while it is 0; returns once the server says that it listens."""
        if os.geteuid() == 0:
            # Its place for unprivileged children, which packages make at boot.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        for _ in range(ATTEMPTS):
            port = self.port or free_port()
            if self._listens(port):
                self.port = port
                return
        raise AssertionError("sshd does not listen; it said:\n" + "".join(self.said))

    def stop(self) -> None:
        """End the listener and the connections that it accepted, but not what they run."""
        if self._process is not None:
            pid = self._process.pid
            connections = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            for each in [pid, *map(int, connections)]:
                with suppress(ProcessLookupError):
                    os.kill(each, signal.SIGTERM)
            self._process.wait(STARTS_WITHIN_S)
            self._process = None

    def change_host_key(self, *, kind: str = "ed25519") -> None:
        """Come back with another host key on the same port, as a rebuilt machine would."""
        self.stop()
        for name in ("host", "host.pub"):
            (self.folder / name).unlink()
        new_key(self.host_key, kind=kind)
        self.start()

    def _listens(self, port: int) -> bool:
        config = self.folder / "sshd_config"
        config.write_text(
            "\n".join(
                [
                    *self.settings,
                    f"Port {port}",
                    "ListenAddress 127.0.0.1",
                    f"HostKey {self.host_key}",
                    f"AuthorizedKeysFile {self.authorized_keys}",
                    "PidFile none",
                    "StrictModes no",
                    "UsePAM no",
                    "PasswordAuthentication no",
                    "KbdInteractiveAuthentication no",
                    "MaxStartups 2000",
                    "PrintMotd no",
                    "Subsystem sftp internal-sftp",
                    # Whoever runs the tests may have a shell that says something at login.
                    f"SetEnv HOME={self.home}",
                    "LogLevel VERBOSE",
                ]
            )
            + "\n"
        )
        process = subprocess.Popen(
            [self._program, "-D", "-e", "-f", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            # Variables of the test's must not show up in what it runs.
            env={"PATH": os.environ.get("PATH", os.defpath)},
            start_new_session=True,
        )
        listens = threading.Event()

        def read() -> None:
            assert process.stderr is not None
            for line in process.stderr:
                self.said.append(line)
                if line.startswith("Server listening"):
                    listens.set()
            listens.set()
            process.stderr.close()

        threading.Thread(target=read, daemon=True).start()
        listens.wait(STARTS_WITHIN_S)
        if process.poll() is None and any("Server listening" in line for line in self.said):
            self._process = process
            return True
        process.terminate()
        process.wait()
        return False


def free_port() -> int:
    """A loopback port on which nobody listens just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
