"""Where the engine answers: what `docker` would use, found as `docker` finds it.

In order: the setting `local-docker.host`, DOCKER_HOST, DOCKER_CONTEXT, the context chosen with `docker context use`,
and then the sockets that engines have on this machine: Docker's, Docker Desktop's, rootless Docker's, Podman's.
"""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from flow_core.errors import Misconfigured

if TYPE_CHECKING:
    import ssl

    from flow_providers.local_docker.plugs import Plug

_FORMS = "unix:///PATH, tcp://HOST:PORT or ssh://USER@HOST"


@frozen(kw_only=True)
class Address:
    """An engine's address. `path` is a Unix socket's; else `host` and `port`, or `ssh`'s target. `why` chose it."""

    path: str = ""
    host: str = ""
    port: int = 0
    ssh: str = ""
    #: Folder with ca.pem, cert.pem and key.pem where the connection is by TLS.
    certificates: str = ""
    why: str = ""

    def __str__(self) -> str:
        said = f" ({self.why})" if self.why else ""
        if self.path:
            return f"{self.path}{said}"
        return (f"ssh://{self.ssh}" if self.ssh else f"{self.host}:{self.port}") + said

    @property
    def key(self) -> str:
        """A short name for the engine at this address, for folders."""
        text = f"{self.path}|{self.host}:{self.port}|{self.ssh}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def is_here(self) -> bool:
        """Whether it is surely on this machine, with this machine's GPUs and folders."""
        return bool(self.path) or self.host in ("localhost", "127.0.0.1", "::1")

    def connected(self, timeout_s: float, *, half_closes: bool = False) -> Plug:
        """Return a new connection, of whose two ways one can end alone if it `half_closes`.

        Raises:
            OSError: it didn't come about.
            Misconfigured: the certificates for it aren't where they were said to be.
        """
        if self.ssh:
            return _over_ssh(self.ssh)
        if self.path:
            plug = socket.socket(socket.AF_UNIX)
            plug.settimeout(timeout_s)
            try:
                plug.connect(self.path)
            except OSError:
                plug.close()
                raise
            return plug
        plug = socket.create_connection((self.host, self.port), timeout=min(timeout_s, 10.0))
        plug.settimeout(timeout_s)
        if not self.certificates:
            return plug
        try:
            context = self._trust()
            if half_closes:
                from flow_providers.local_docker.plugs import TlsPlug

                return TlsPlug(plug, context, self.host)
            return context.wrap_socket(plug, server_hostname=self.host)
        except BaseException:
            plug.close()
            raise

    def _trust(self) -> ssl.SSLContext:
        import ssl

        folder = Path(self.certificates)
        names = {name: folder / f"{name}.pem" for name in ("ca", "cert", "key")}
        missing = [path.name for path in names.values() if not path.is_file()]
        if missing:
            raise Misconfigured(
                f"the Docker engine at {self} is to be reached by TLS, and {folder} has no {', '.join(missing)}",
                hint="DOCKER_CERT_PATH names the folder of ca.pem, cert.pem and key.pem",
            )
        context = ssl.create_default_context(cafile=str(names["ca"]))
        context.load_cert_chain(names["cert"], names["key"])
        return context


def find_address(environ: Mapping[str, str], *, said: str | None = None) -> Address:
    """Return where the engine is that `docker` would use here; it need not answer.

    Raises:
        Misconfigured: the address, or the context, that was named can't be.
    """
    folder = docker_folder(environ)
    tls = environ.get("DOCKER_CERT_PATH") or str(folder)
    tls = tls if environ.get("DOCKER_TLS_VERIFY") else ""
    if said:
        return parse_address(said, why="local-docker.host", certificates=tls)
    if environ.get("DOCKER_HOST"):
        return parse_address(environ["DOCKER_HOST"], why="DOCKER_HOST", certificates=tls)
    context = environ.get("DOCKER_CONTEXT")
    why = "DOCKER_CONTEXT"
    if not context:
        context, why = _read(folder / "config.json").get("currentContext"), "docker context"
    if context and context != "default":
        return _of_context(str(context), folder, why=f"{why} {context}")
    usual = _usual_sockets(environ)
    there = next((each for each in usual if Path(each).exists()), usual[0])
    return Address(path=there)


def parse_address(text: str, *, why: str = "", certificates: str = "") -> Address:
    """Return the address that a text such as DOCKER_HOST's names.

    Raises:
        Misconfigured: it is none that is understood.
    """
    scheme, mark, rest = text.strip().partition("://")
    rest = rest.rstrip("/") if scheme != "unix" else rest
    if mark and scheme == "unix" and rest.startswith("/"):
        return Address(path=rest, why=why)
    if mark and scheme == "ssh" and rest:
        return Address(ssh=rest, why=why)
    if mark and scheme in ("tcp", "http", "https") and rest:
        host, colon, port = rest.rpartition(":")
        if not colon:
            host, port = rest, "2376" if certificates else "2375"
        if port.isdecimal():
            return Address(
                host=host.strip("[]"), port=int(port), why=why, certificates=certificates
            )
    named = f"{why} is " if why else ""
    raise Misconfigured(
        f"{named}{text!r}, which is no address of a Docker engine that Flow can use",
        hint=f"write it like {_FORMS}",
    )


def docker_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of `docker`'s own settings."""
    named = environ.get("DOCKER_CONFIG")
    return Path(named) if named else Path(environ.get("HOME") or Path.home()) / ".docker"


def _of_context(name: str, folder: Path, *, why: str) -> Address:
    known = hashlib.sha256(name.encode()).hexdigest()
    meta = _read(folder / "contexts" / "meta" / known / "meta.json")
    host = meta.get("Endpoints", {}).get("docker", {}).get("Host")
    if not host:
        raise Misconfigured(
            f"there is no Docker context {name!r} ({why})", hint="`docker context ls` lists them"
        )
    tls = folder / "contexts" / "tls" / known / "docker"
    return parse_address(str(host), why=why, certificates=str(tls) if tls.is_dir() else "")


def _usual_sockets(environ: Mapping[str, str]) -> list[str]:
    home, run = environ.get("HOME") or str(Path.home()), environ.get("XDG_RUNTIME_DIR")
    own = [f"{run}/docker.sock", f"{run}/podman/podman.sock"] if run else []
    return [
        "/var/run/docker.sock",
        f"{home}/.docker/run/docker.sock",
        f"{home}/.docker/desktop/docker.sock",
        *own,
        "/run/podman/podman.sock",
    ]


def _over_ssh(target: str) -> socket.socket:
    """Return a connection through `ssh`, whose other end is what `docker` itself uses for that."""
    import subprocess

    ours, theirs = socket.socketpair()
    host, _, port = target.partition(":")
    command = ["ssh", "-T", "-o", "BatchMode=yes", *(["-p", port] if port else []), host]
    with theirs:
        subprocess.Popen(
            [*command, "docker", "system", "dial-stdio"],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    return ours


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
