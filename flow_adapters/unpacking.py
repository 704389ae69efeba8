"""Puts an archive's files below a folder, and nowhere else.

Every name is checked before the first file is written. Symlinks arrive as they were, wherever they point, but nothing
is ever written through one: where a folder is needed and a link stands, the link gives way.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath


def unpack(archive: Path, target: Path) -> None:
    """Make `target` hold the files of `archive`, a tar file; files of the same name are replaced, others stay.

    Raises:
        tarfile.TarError: the archive can't be read, or a member would land outside; nothing was written.
        OSError: the disk refuses.
    """
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
        _check(members)
        target.mkdir(parents=True, exist_ok=True)
        for member in members:
            _place(tar, member, target)


def _check(members: list[tarfile.TarInfo]) -> None:
    links: set[PurePosixPath] = set()
    for member in members:
        path = _inside(member.name)
        if any(parent in links for parent in path.parents):
            raise tarfile.TarError(
                f"{member.name!r} would be written through a link of the archive's own"
            )
        if member.issym():
            links.add(path)
        elif member.islnk():
            _inside(member.linkname)
        elif not (member.isfile() or member.isdir()):
            raise tarfile.TarError(f"{member.name!r} is neither file, folder nor link")


def _inside(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise tarfile.TarError(f"{name!r} would land outside the folder")
    return path


def _place(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    path = target
    for part in _inside(member.name).parts:
        if path.is_symlink() or path.is_file():
            path.unlink()
        path.mkdir(exist_ok=True)
        path = path / part
    if path == target:
        return
    if member.isdir():
        if path.is_symlink() or path.is_file():
            path.unlink()
        path.mkdir(exist_ok=True)
        path.chmod(member.mode & 0o777 | 0o700)
        return
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if member.issym():
        path.symlink_to(member.linkname)
        return
    try:
        source = tar.extractfile(member)
    except KeyError as exc:
        raise tarfile.TarError(f"{member.name!r} is a link to nothing in the archive") from exc
    if source is None:
        raise tarfile.TarError(f"{member.name!r} is a link to what is no file")
    mode = member.mode & 0o777
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with source, open(os.open(path, flags, mode), "wb") as file:  # noqa: PTH123
        shutil.copyfileobj(source, file, 1 << 20)
    path.chmod(mode)
    os.utime(path, (member.mtime, member.mtime))
