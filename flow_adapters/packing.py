"""Snapshots of a folder: one archive for each content, named by its digest.

The digest is of content, names, modes and link targets, in the order of the names' bytes; times and owners don't
count. The archive is a tar as GNU writes it, which carries names in any encoding. Times are kept in it, because
Python and make trust them: with the same size and time, a changed module would run from its stale bytecode.

Of a large folder that has changed little, what goes to nodes at once is kept as an archive that borrows from the last:
to copy that takes longer than all else. It is made a tar of its own when somebody needs one.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path
from typing import IO

from attrs import evolve

from flow_adapters.archives import (
    BASE,
    BORROWS,
    WHOLE,
    Tar,
    archives_in,
    base_of,
    is_whole,
    opened,
)
from flow_adapters.clocks import SystemClock
from flow_adapters.contents import Contents, Member, has_end, read_contents, remember
from flow_adapters.files import meaning_of
from flow_adapters.packing_ahead import Begun, PackingAhead
from flow_adapters.tarring import unchanged, write_tar
from flow_adapters.walking import Found, walk
from flow_adapters.writing_behind import copy
from flow_core.domain.code import Bundle
from flow_core.domain.spelling import nearest
from flow_core.errors import InvalidRequest, NotFound
from flow_core.ports.clock import Clock
from flow_core.ports.code import CodeTooLarge

LIMIT_BYTES = 500_000_000
#: A snapshot this young may belong to a task that is about to be written down; it is not dropped.
GRACE = timedelta(hours=1)
_BEGUN = ".packing-"
#: How many snapshots are looked at for one of the same folder.
_LOOKED_AT = 8
_OFFENDERS = 5
#: Less than this is copied, not borrowed: that takes a hundredth of a second.
WORTH_BORROWING = 16 << 20
#: How many times more is borrowed than not, and how much of a base at least, so that not much is kept for little.
_MOSTLY, _OF_BASE = 4, 0.5


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
        worth_borrowing: int = WORTH_BORROWING,
    ) -> None:
        self._store = store
        self._without = (without or store).absolute()
        self._limit_bytes = limit_bytes
        self._clock = clock or SystemClock()
        self._worth_borrowing = worth_borrowing

    def pack(self, folder: str) -> Bundle:
        """See `CodeStore.pack`; what is as it was in the last snapshot of this folder isn't read again."""
        return self._filled(self._pack(folder, lambda archive: _untold))

    def packing(self, folder: str) -> PackingAhead:
        """See `CodeStore.packing`."""
        return PackingAhead(
            lambda begun, borrows: self._pack(folder, begun, may_borrow=borrows), fill=self._filled
        )

    def _pack(self, folder: str, begun: Begun, *, may_borrow: Callable[[], bool] = bool) -> Bundle:
        """Pack; what `begun` returns is told how far the archive that it is told of has come."""
        top = _folder(folder)
        found = walk(top, without=self._without)
        _guard_size(found, self._limit_bytes, folder)
        files = sum(not stat.S_ISDIR(each.mode) for each in found)
        size = sum(each.size for each in found)
        with self._last_of(top) as (path, earlier, last):
            same = unchanged(found, earlier) if earlier is not None else []
            if earlier is not None and None not in same and len(same) == len(earlier.members):
                os.utime(path)
                return _bundle(path)
            with self._begun() as (archive, temporary):
                began_ns = os.fstat(archive.fileno()).st_mtime_ns
                borrows = (
                    last is not None
                    and may_borrow()
                    and self._is_worth(last, found, same, size)
                    and last.lends(_base_of(temporary))
                )
                contents = write_tar(
                    archive,
                    top,
                    found,
                    same=same,
                    last=last,
                    borrows=borrows,
                    began_ns=began_ns,
                    tell=begun(None if borrows else temporary),
                )
                name = f"{contents.digest}.{files}.{size}{BORROWS if borrows else WHOLE}"
                return _bundle(_settled(temporary, self._store / name, contents))

    def _is_worth(
        self, last: Tar, found: Sequence[Found], same: Sequence[Member | None], size: int
    ) -> bool:
        """Whether to borrow from the base of `last`: much, most of it, and little else."""
        changed = sum(each.size for each, old in zip(found, same, strict=True) if old is None)
        lent = size - changed - last.own_size
        return (
            lent >= max(self._worth_borrowing, _MOSTLY * (changed + last.own_size))
            and lent >= _OF_BASE * last.base_size
        )

    def _filled(self, bundle: Bundle) -> Bundle:
        """Return the bundle with an archive that borrows nothing."""
        path = Path(bundle.location)
        if path.suffix != BORROWS:
            return bundle
        if has_end(path.with_suffix(WHOLE)):
            os.utime(path.with_suffix(WHOLE))
            return _bundle(path.with_suffix(WHOLE))
        contents = read_contents(path)
        assert contents is not None
        with closing(Tar(path, contents)) as tar, self._begun() as (archive, temporary):
            for run in tar.runs(0, tar.size):
                copy(run, archive)
                archive.flush()
            whole = evolve(contents, base="", borrowed=())
            archive.write(whole.footer())
            archive.flush()
            return _bundle(_settled(temporary, path.with_suffix(WHOLE), whole))

    def signature(self, folder: str) -> str:
        """See `CodeStore.signature`: the names, sizes and times of everything."""
        digest = sha256()
        for each in walk(_folder(folder), without=self._without):
            seen = "" if stat.S_ISDIR(each.mode) else each.seen
            digest.update(b"%b\0%o\0%b\n" % (each.path, each.mode, str(seen).encode()))
        return digest.hexdigest()

    def absolute(self, path: str) -> str:
        """See `CodeStore.absolute`."""
        return os.path.normpath(Path(path).expanduser().absolute())

    def agree_to_any_size(self) -> None:
        """See `CodeStore.agree_to_any_size`."""
        self._limit_bytes = sys.maxsize

    def folder_of(self, digest: str) -> str | None:
        """See `CodeStore.folder_of`."""
        for path in self._archives():
            if path.name.startswith(f"{digest}."):
                with suppress(FileNotFoundError):
                    contents = read_contents(path)
                    return contents.folder if contents is not None else None
        return None

    def bundle(self, digest: str) -> Bundle:
        """See `CodeStore.bundle`; one that a crash of the machine cut short counts as dropped."""
        for path in self._archives():
            with suppress(FileNotFoundError):
                if path.name.startswith(f"{digest}.") and is_whole(path):
                    return self._filled(_bundle(path))
        raise NotFound(
            f"the snapshot {digest[:12]} is no longer here",
            hint="submit the task again to take a new one",
        )

    def tar(self, digest: str, *, most: int) -> bytes | None:
        """See `CodeStore.tar`."""
        for path in self._archives():
            if path.name.startswith(f"{digest}."):
                with suppress(FileNotFoundError):
                    contents = read_contents(path)
                    if contents is not None and contents.size <= most:
                        with opened(path) as tar:
                            return tar.read(contents.size)
        return None

    def keep_only(self, digests: set[str]) -> None:
        """See `CodeStore.keep_only`; one taken within the last hour stays, since its task may not be written yet."""
        young = self._clock.now() - GRACE
        whole = {_digest_in(path) for path in self._archives() if path.suffix == WHOLE}
        for path in self._archives():
            is_spare = path.suffix == BORROWS and _digest_in(path) in whole
            if is_spare or _digest_in(path) not in digests:
                _drop(path, young, lambda seen: seen.st_mtime)
        borrow = {_digest_in(path) for path in self._archives() if path.suffix == BORROWS}
        for path in self._store.glob(f"*{BASE}"):
            if _digest_in(path) not in borrow:
                _drop(path, young, lambda seen: seen.st_ctime)
        for path in self._store.glob(f"{_BEGUN}*"):
            _drop(path, young, lambda seen: seen.st_ctime)

    def _archives(self) -> list[Path]:
        return [path for path in archives_in(self._store) if path.name.count(".") == 3]

    @contextmanager
    def _last_of(self, top: Path) -> Iterator[tuple[Path, Contents | None, Tar | None]]:
        """Yield the newest snapshot of the folder `top`: where it is, what it holds, its archive; None for none."""
        for path in sorted(self._archives(), key=_age, reverse=True)[:_LOOKED_AT]:
            try:
                contents = read_contents(path) if is_whole(path) else None
                if contents is None or contents.folder != str(top):
                    continue
                last = Tar(path, contents)
            except OSError:
                continue
            with closing(last):
                yield path, contents, last
            return
        yield self._store, None, None

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
            Path(name + BASE).unlink(missing_ok=True)


def _untold(size: int) -> None:
    """Tell nobody."""


def _bundle(archive: Path) -> Bundle:
    digest, files, size, _ = archive.name.split(".")
    return Bundle(digest=digest, location=str(archive), files=int(files), bytes=int(size))


def _base_of(temporary: Path) -> Path:
    return temporary.with_name(temporary.name + BASE)


def _settled(temporary: Path, archive: Path, contents: Contents) -> Path:
    """Move what was begun, and what it borrows from, to where it belongs."""
    if contents.base:
        _base_of(temporary).replace(base_of(archive, contents))
    temporary.replace(archive)
    remember(archive, contents)
    return archive


def _digest_in(path: Path) -> str:
    return path.name.partition(".")[0]


def _drop(path: Path, young: datetime, time_of: Callable[[os.stat_result], float]) -> None:
    """Remove a file unless it is young."""
    with suppress(FileNotFoundError):
        if datetime.fromtimestamp(time_of(path.stat()), timezone.utc) < young:
            path.unlink()


def _age(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


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


def _guard_size(found: list[Found], limit_bytes: int, folder: str) -> None:
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
    raise CodeTooLarge(
        {
            "code": f"{folder!r} holds {_megabytes(size)}, more than the {most} that are uploaded "
            f"without asking; largest: {told}"
        },
        hint="leave data out with a .flowignore and mount it as a volume or from s3://; --yes uploads it all",
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
