"""Snapshots of a folder: one archive for each content, named by its digest.

The digest is of content, names, modes and link targets, in the order of the names' bytes; times and owners don't
count. The archive is a tar as GNU writes it, which carries names in any encoding. Times are kept in it, because
Python and make trust them: with the same size and time, a changed module would run from its stale bytecode.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import IO

from flow_adapters.clocks import SystemClock
from flow_adapters.files import meaning_of
from flow_adapters.walking import Found, unreadable, walk
from flow_core.domain.code import Bundle
from flow_core.domain.spelling import nearest
from flow_core.errors import InvalidRequest, NotFound
from flow_core.ports.clock import Clock

LIMIT_BYTES = 500_000_000
#: A snapshot this young may belong to a task that is about to be written down; it is not dropped.
GRACE = timedelta(hours=1)
_CHUNK = 1 << 20
_BEGUN = ".packing-"
_OFFENDERS = 5


class TarCodeStore:
    """Implements `ports.code.CodeStore` with one tar a snapshot in `store`, which is made when needed.

    `without` is never packed, `store` unless said otherwise. The state folder must be named there: to open and close
    a database's files drops this process's locks on them, and another process then cuts them from under it.
    """

    def __init__(
        self,
        store: Path,
        *,
        limit_bytes: int = LIMIT_BYTES,
        clock: Clock | None = None,
        without: Path | None = None,
    ) -> None:
        self._store = store
        self._without = (without or store).absolute()
        self._limit_bytes = limit_bytes
        self._clock = clock or SystemClock()

    def pack(self, folder: str) -> Bundle:
        """See `CodeStore.pack`."""
        top = _folder(folder)
        found = walk(top, without=self._without)
        _refuse_too_large(found, self._limit_bytes, folder)
        files = sum(not stat.S_ISDIR(each.mode) for each in found)
        size = sum(each.size for each in found)
        with self._begun() as (archive, temporary):
            digest = _write_tar(archive, top, found)
            archive.flush()
            target = self._store / f"{digest}.{files}.{size}.tar"
            if not target.exists():
                os.fsync(archive.fileno())
                temporary.replace(target)
            else:
                os.utime(target)
        return Bundle(digest=digest, location=str(target), files=files, bytes=size)

    def bundle(self, digest: str) -> Bundle:
        """See `CodeStore.bundle`."""
        for path in self._archives():
            if path.name.startswith(f"{digest}."):
                _, files, size, _ = path.name.split(".")
                return Bundle(digest=digest, location=str(path), files=int(files), bytes=int(size))
        raise NotFound(
            f"the snapshot {digest[:12]} is no longer here",
            hint="submit the task again to take a new one",
        )

    def keep_only(self, digests: set[str]) -> None:
        """See `CodeStore.keep_only`; one taken within the last hour stays, since its task may not be written yet."""
        young = self._clock.now() - GRACE
        for path in self._archives():
            with suppress(FileNotFoundError):
                taken = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
                if path.name.partition(".")[0] not in digests and taken < young:
                    path.unlink(missing_ok=True)
        for path in self._store.glob(f"{_BEGUN}*"):
            with suppress(FileNotFoundError):
                if datetime.fromtimestamp(path.stat().st_mtime, timezone.utc) < young:
                    path.unlink(missing_ok=True)

    def _archives(self) -> list[Path]:
        return [path for path in self._store.glob("*.tar") if path.name.count(".") == 3]

    @contextmanager
    def _begun(self) -> Iterator[tuple[IO[bytes], Path]]:
        """While entered, a new file in the store; unless it was moved away by then, nothing is left of it."""
        try:
            self._store.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix=_BEGUN, dir=self._store)
        except OSError as error:
            raise meaning_of(self._store, error) from error
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file, Path(name)
        except OSError as error:
            raise meaning_of(self._store, error) from error
        finally:
            Path(name).unlink(missing_ok=True)


def _folder(folder: str) -> Path:
    path = Path(folder).expanduser().absolute()
    if path.is_dir():
        return path
    if path.exists():
        raise InvalidRequest({"code": f"{folder!r} is a file; name the folder it lies in"})
    siblings = (
        [each.name for each in path.parent.iterdir() if each.is_dir()]
        if path.parent.is_dir()
        else []
    )
    near = nearest(path.name, siblings)
    advice = f"; nearest is {str(Path(folder).with_name(near))!r}" if near else ""
    raise InvalidRequest({"code": f"there is no folder {folder!r}{advice}"})


def _refuse_too_large(found: list[Found], limit_bytes: int, folder: str) -> None:
    size = sum(each.size for each in found)
    if size <= limit_bytes:
        return
    sizes: dict[bytes, int] = {}
    for each in found:
        first, slash, _ = each.path.partition(b"/")
        for name in {each.path, first + slash}:
            sizes[name] = sizes.get(name, 0) + each.size
    largest = sorted(sizes, key=lambda name: (-sizes[name], name))[:_OFFENDERS]
    told = ", ".join(f"{os.fsdecode(name)} ({_megabytes(sizes[name])})" for name in largest)
    most = _megabytes(limit_bytes)
    raise InvalidRequest(
        {
            "code": f"{folder!r} holds {_megabytes(size)}; up to {most} are uploaded; largest: {told}"
        },
        hint="leave data out with a .flowignore, and mount it as a volume or from s3://",
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def _write_tar(archive: IO[bytes], top: Path, found: list[Found]) -> str:
    """Write everything in `found` and return the digest of it all."""
    digest = hashlib.sha256()
    root = os.fsencode(top)
    for each in found:
        if stat.S_ISDIR(each.mode):
            content = _write_folder(archive, root, each)
        elif stat.S_ISLNK(each.mode):
            content = _write_link(archive, root, each)
        else:
            content = _write_file(archive, root, each)
        kind = stat.S_IFMT(each.mode) | _kept_mode(each.mode)
        digest.update(b"%d %d " % (kind, len(each.path)) + each.path + content)
    archive.write(bytes(2 * tarfile.BLOCKSIZE))
    return digest.hexdigest()


def _write_folder(archive: IO[bytes], root: bytes, each: Found) -> bytes:
    info, path = _info(each, tarfile.DIRTYPE), root + b"/" + each.path
    with _readable(each.path):
        info.mtime = int(os.lstat(path).st_mtime)
    archive.write(_header(info))
    return b""


def _write_link(archive: IO[bytes], root: bytes, each: Found) -> bytes:
    info, path = _info(each, tarfile.SYMTYPE), root + b"/" + each.path
    with _readable(each.path):
        target = os.readlink(path)  # noqa: PTH115  # bytes
        info.mtime = int(os.lstat(path).st_mtime)
    info.linkname = os.fsdecode(target)
    archive.write(_header(info))
    return b"%d " % len(target) + target


def _write_file(archive: IO[bytes], root: bytes, each: Found) -> bytes:
    info, path = _info(each, tarfile.REGTYPE), root + b"/" + each.path
    content = hashlib.sha256()
    with _readable(each.path):
        file = open(path, "rb", buffering=0)  # noqa: PTH123, SIM115  # bytes; closed below
    with file:
        before = os.fstat(file.fileno())
        info.size, info.mtime = before.st_size, int(before.st_mtime)
        archive.write(_header(info))
        left = before.st_size
        while left:
            with _readable(each.path):
                chunk = file.read(min(left, _CHUNK))
            if not chunk:
                break
            content.update(chunk)
            archive.write(chunk)
            left -= len(chunk)
        after = os.fstat(file.fileno())
        if left or _signature(before) != _signature(after) or not stat.S_ISREG(before.st_mode):
            raise InvalidRequest(
                {"code": f"{os.fsdecode(each.path)!r} changed while it was read"},
                hint="repeat when nothing writes there, or leave it out with a line in .flowignore",
            )
    archive.write(bytes(-before.st_size % tarfile.BLOCKSIZE))
    return content.digest()


def _info(each: Found, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(os.fsdecode(each.path))
    info.type = kind
    info.mode = _kept_mode(each.mode)
    return info


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _kept_mode(mode: int) -> int:
    return 0o777 if stat.S_ISLNK(mode) else stat.S_IMODE(mode) & 0o777


def _signature(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino


@contextmanager
def _readable(path: bytes) -> Iterator[None]:
    """Tell what can't be read in the user's folder apart from what can't be written in ours."""
    try:
        yield
    except OSError as error:
        raise unreadable(path, error) from error
