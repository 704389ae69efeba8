"""Unpacks an archive from standard input below a folder of a node, and nowhere else: `unpack.py TARGET`.

What stands where a member goes gives way, links too, so that nothing is written through one.
Python 3.8, standard library only.
"""

# ruff: noqa: PTH101, PTH103, PTH108, PTH112, PTH113, PTH114, PTH118, PTH123, PTH211, UP031

import os
import shutil
import sys
import tarfile


def main() -> None:
    """Unpack; say in one line why it can't be done."""
    target = sys.argv[1]
    try:
        os.makedirs(target, exist_ok=True)
        with tarfile.open(fileobj=sys.stdin.buffer, mode="r|*") as tar:
            for member in tar:
                place(tar, member, target)
    except (OSError, tarfile.TarError) as error:
        sys.exit("%s: %s" % (target, error))


def place(tar: tarfile.TarFile, member: tarfile.TarInfo, target: str) -> None:
    """Put one member where it belongs."""
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    if member.name.startswith("/") or ".." in parts:
        raise tarfile.TarError("%r would land outside the folder" % member.name)
    if not parts:
        return
    path = target
    for part in parts[:-1]:
        path = os.path.join(path, part)
        if os.path.islink(path) or os.path.isfile(path):
            os.unlink(path)
        os.makedirs(path, exist_ok=True)
    path = os.path.join(path, parts[-1])
    if member.isdir():
        if os.path.islink(path) or os.path.isfile(path):
            os.unlink(path)
        os.makedirs(path, exist_ok=True)
        os.chmod(path, member.mode & 0o777 | 0o700)
        return
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
    if member.issym():
        os.symlink(member.linkname, path)
    elif member.isfile():
        source = tar.extractfile(member)
        assert source is not None
        mode = member.mode & 0o777
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
        os.chmod(path, mode)
        os.utime(path, (member.mtime, member.mtime))
    else:
        raise tarfile.TarError("%r is neither file, folder nor symlink" % member.name)


main()
