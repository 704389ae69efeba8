"""A program that pulls or builds one image and says in a file how far it is: `python -m …bringing JSON`."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flow_adapters.clocks import SystemClock
from flow_core.errors import FlowError
from flow_core.ports.clock import Clock
from flow_providers.local_docker.address import docker_folder, find_address
from flow_providers.local_docker.engine import Engine, read_json
from flow_providers.local_docker.images import Images
from flow_providers.local_docker.labels import MADE

#: Seconds between two words about it.
_SAYS_S = 0.5
_LOGIN_S = 30.0
#: The key under which `docker login` keeps what is for Docker Hub.
_HUB = "https://index.docker.io/v1/"


def main() -> None:
    """Bring the image, and say so."""
    told = json.loads(sys.argv[1])
    engine = Engine(find_address(os.environ, said=told.get("host") or None))
    clock = SystemClock()
    images = Images(engine, folder=Path(told["folder"]), clock=clock, default="", settings={})
    bring(engine, images, told, clock=clock, logins=docker_folder(os.environ))


def bring(
    engine: Engine, images: Images, told: Mapping[str, str], *, clock: Clock, logins: Path
) -> None:
    """Bring the image that `told` names for its bid; say how far it is, that it is here, or why it can't be."""
    image, bid, file = told["image"], told["bid"], told["dockerfile"]
    try:
        answers = built(engine, image, Path(file)) if file else pulled(engine, image, logins)
        last, said = "", clock.now()
        progress = Progress()
        for answer in answers:
            if answer.get("error"):
                images.say(bid, "", failed=_words(image, file, str(answer["error"]), last))
                return
            last = str(answer.get("stream", "")).strip() or last
            words = last if file else progress.heard(answer)
            if (clock.now() - said).total_seconds() >= _SAYS_S:
                said = clock.now()
                images.say(bid, f"{'building' if file else 'pulling'} {file or image}: {words}")
    except (FlowError, OSError) as error:
        images.say(bid, "", failed=_words(image, file, str(error), ""))
        return
    images.say(bid, "", done=image)


class Progress:
    """Adds up what a pull tells of its layers."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}

    def heard(self, answer: Mapping[str, Any]) -> str:
        """Take in one answer, and return how far the whole is, such as '120 of 310 MB'."""
        detail = answer.get("progressDetail") or {}
        if answer.get("status") == "Downloading" and detail.get("total"):
            self._layers[str(answer.get("id"))] = (int(detail["current"]), int(detail["total"]))
        elif answer.get("status") in ("Download complete", "Pull complete"):
            done = self._layers.get(str(answer.get("id")), (0, 0))[1]
            self._layers[str(answer.get("id"))] = (done, done)
        here, whole = (sum(each[side] for each in self._layers.values()) for side in (0, 1))
        return f"{here / 1e6:.0f} of {whole / 1e6:.0f} MB" if whole else "looking for it"


def pulled(engine: Engine, image: str, logins: Path) -> Iterator[dict[str, Any]]:
    """Pull an image with the user's own login for its registry; yield what the engine tells."""
    name, _, tag = image.rpartition(":")
    if not name or "/" in tag or "@" in image:
        name, tag = image, "" if "@" in image else "latest"
    query = {"fromImage": name, **({"tag": tag} if tag else {})}
    login = _login(registry_of(image), logins)
    headers = {"X-Registry-Auth": _coded(login)} if login else {}
    return engine.lines("POST", "/images/create", query=query, headers=headers)


def built(engine: Engine, image: str, file: Path) -> Iterator[dict[str, Any]]:
    """Build an image from a Dockerfile and its folder, with the engine's cache; yield what the engine tells."""
    query = {"t": image, "dockerfile": file.name, "rm": "true", "forcerm": "true", "version": "1"}
    query["labels"] = json.dumps({MADE: "local-docker"})
    headers = {"Content-Type": "application/x-tar"}
    return engine.lines("POST", "/build", query=query, data=_context(file), headers=headers)


def registry_of(image: str) -> str:
    """Return the registry that an image's name begins with, as `docker login` keeps it."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else _HUB


def _context(file: Path) -> Iterable[bytes]:
    """Yield the archive of a Dockerfile's folder, without what its .dockerignore names."""
    from flow_adapters.packing import TarCodeStore

    ignored = file.parent / ".dockerignore"
    if not ignored.exists():
        import tempfile

        with tempfile.TemporaryDirectory() as store:
            bundle = TarCodeStore(Path(store)).pack(str(file.parent))
            yield from _pieces(Path(bundle.location))
        return
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path in sorted(file.parent.rglob("*")):
            name = path.relative_to(file.parent).as_posix()
            if path == file or not _is_ignored(name, ignored):
                tar.add(path, name, recursive=False)
    yield archive.getvalue()


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            yield piece


def _is_ignored(name: str, rules: Path) -> bool:
    """Whether .dockerignore leaves a file out: patterns from the top, the last that fits counts."""
    from fnmatch import fnmatchcase

    out = False
    for line in rules.read_text("utf-8").splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        kept = pattern.startswith("!")
        pattern = pattern.lstrip("!").strip("/").removeprefix("**/")
        parts = name.split("/")
        heads = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        tails = parts if line.strip().lstrip("!").startswith("**/") else []
        if any(fnmatchcase(each, pattern) for each in [*heads, *tails]):
            out = not kept
    return out


def _login(registry: str, folder: Path) -> dict[str, str]:
    """Return what `docker login` keeps for a registry: in its file, or with the helper that it names."""
    config = read_json(folder / "config.json")
    helper = (config.get("credHelpers") or {}).get(registry) or config.get("credsStore")
    if helper:
        return _asked(str(helper), registry)
    kept = (config.get("auths") or {}).get(registry) or {}
    if kept.get("identitytoken"):
        return {"identitytoken": kept["identitytoken"], "serveraddress": registry}
    user, colon, password = (
        base64.b64decode(kept.get("auth", "")).decode("utf-8", "replace").partition(":")
    )
    if not colon:
        return {}
    return {"username": user, "password": password, "serveraddress": registry}


def _asked(helper: str, registry: str) -> dict[str, str]:
    try:
        said = subprocess.run(
            [f"docker-credential-{helper}", "get"],
            input=registry,
            capture_output=True,
            text=True,
            timeout=_LOGIN_S,
            check=True,
        )
        found = json.loads(said.stdout)
        user, secret = str(found["Username"]), str(found["Secret"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return {}
    if user == "<token>":
        return {"identitytoken": secret, "serveraddress": registry}
    return {"username": user, "password": secret, "serveraddress": registry}


def _coded(login: Mapping[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(login).encode()).decode()


def _words(image: str, file: str, reason: str, step: str) -> str:
    reason = " ".join(reason.split())
    if file:
        return f"{file} could not be built" + (f" (at {step!r})" if step else "") + f": {reason}"
    return f"{image} is not on this machine and could not be pulled: {reason}"


if __name__ == "__main__":
    main()
