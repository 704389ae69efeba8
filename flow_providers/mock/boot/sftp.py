"""The SFTP protocol, version 3, served to two pipes by a process of the node's: paths are the node's own.

Source: draft-ietf-secsh-filexfer-02, and OpenSSH's PROTOCOL file for the extensions that its clients use.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_VERSION = 3
_OK, _EOF, _NO_FILE, _DENIED, _FAILURE, _BAD_MESSAGE, _UNSUPPORTED = 0, 1, 2, 3, 4, 5, 8
_STATUS, _HANDLE, _DATA, _NAME, _ATTRS, _EXTENDED_REPLY = 101, 102, 103, 104, 105, 201
_SIZE, _OWNER, _MODE, _TIMES, _EXTENDED = 1, 2, 4, 8, 0x80000000
_READ, _WRITE, _APPEND, _CREATE, _TRUNCATE, _EXCLUSIVE = 1, 2, 4, 8, 16, 32
_MOST = 256 * 1024
_LISTED_AT_ONCE = 100
_EXTENSIONS = (b"posix-rename@openssh.com", b"hardlink@openssh.com", b"fsync@openssh.com")
_CODES = {
    errno.ENOENT: _NO_FILE,
    errno.ENOTDIR: _NO_FILE,
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
}


def serve(incoming: BinaryIO, outgoing: BinaryIO) -> int:
    """Answer requests until the client has no more; return an exit code."""
    server = _Server()
    while True:
        head = incoming.read(4)
        if len(head) < 4:
            return 0
        size = struct.unpack(">I", head)[0]
        packet = incoming.read(size)
        if len(packet) < size or not packet:
            return 1
        answer = server.answer(packet[0], _Words(packet[1:]))
        outgoing.write(struct.pack(">I", len(answer)) + answer)
        outgoing.flush()


class _Words:
    """A packet, read from its beginning."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def number(self) -> int:
        return int(self._unpacked(">I"))

    def long(self) -> int:
        return int(self._unpacked(">Q"))

    def text(self) -> bytes:
        size = self.number()
        self._place += size
        return self._data[self._place - size : self._place]

    def attributes(self) -> dict[int, tuple[int, ...]]:
        flags = self.number()
        found: dict[int, tuple[int, ...]] = {}
        if flags & _SIZE:
            found[_SIZE] = (self.long(),)
        for flag, count in ((_OWNER, 2), (_MODE, 1), (_TIMES, 2)):
            if flags & flag:
                found[flag] = tuple(self.number() for _ in range(count))
        return found

    def _unpacked(self, form: str) -> int:
        value: int = struct.unpack_from(form, self._data, self._place)[0]
        self._place += struct.calcsize(form)
        return value


class _Server:
    def __init__(self) -> None:
        self._handles: dict[bytes, int | list[bytes]] = {}
        self._folders: dict[bytes, Path] = {}
        self._count = 0
        self._verbs: dict[int, Callable[[_Words], bytes]] = {
            3: self._open,
            4: self._close,
            5: self._read,
            6: self._write,
            7: lambda words: _told_of(_path(words.text()).lstat()),
            8: lambda words: _told_of(os.fstat(self._file(words))),
            9: self._set,
            10: self._set_open,
            11: self._open_folder,
            12: self._list,
            13: self._remove,
            14: self._make_folder,
            15: self._remove_folder,
            16: lambda words: _named([os.path.realpath(os.fsencode(_path(words.text())))]),
            17: lambda words: _told_of(_path(words.text()).stat()),
            18: self._rename,
            19: lambda words: _named([os.fsencode(_path(words.text()).readlink())]),
            20: self._link,
            200: self._extended,
        }

    def answer(self, kind: int, words: _Words) -> bytes:
        if kind == 1:
            told = b"".join(_text(name) + _text(b"1") for name in _EXTENSIONS)
            return struct.pack(">BI", 2, _VERSION) + told
        number = 0
        try:
            number = words.number()
            verb = self._verbs.get(kind)
            body = verb(words) if verb else _status(_UNSUPPORTED, "not known here")
        except OSError as exc:
            body = _status(_CODES.get(exc.errno or 0, _FAILURE), exc.strerror or "refused")
        except (struct.error, KeyError, TypeError):
            body = _status(_BAD_MESSAGE, "that can't be read")
        return body[:1] + struct.pack(">I", number) + body[1:]

    def _open(self, words: _Words) -> bytes:
        path, asked, attributes = _path(words.text()), words.number(), words.attributes()
        both = asked & _READ and asked & _WRITE
        flags = os.O_RDWR if both else os.O_WRONLY if asked & _WRITE else os.O_RDONLY
        for flag, meant in (
            (_APPEND, os.O_APPEND),
            (_CREATE, os.O_CREAT),
            (_TRUNCATE, os.O_TRUNC),
            (_EXCLUSIVE, os.O_EXCL),
        ):
            flags |= meant if asked & flag else 0
        mode = attributes.get(_MODE, (0o666,))[0] & 0o7777
        return self._handle(os.open(path, flags | os.O_CLOEXEC, mode))

    def _close(self, words: _Words) -> bytes:
        handle = words.text()
        found = self._handles.pop(handle)
        self._folders.pop(handle, None)
        if isinstance(found, int):
            os.close(found)
        return _done()

    def _read(self, words: _Words) -> bytes:
        file, offset, size = self._file(words), words.long(), words.number()
        data = os.pread(file, min(size, _MOST), offset)
        return bytes([_DATA]) + _text(data) if data else _status(_EOF, "the end")

    def _write(self, words: _Words) -> bytes:
        file, offset, data = self._file(words), words.long(), memoryview(words.text())
        while data:
            written = os.pwrite(file, data, offset)
            offset += written
            data = data[written:]
        return _done()

    def _set(self, words: _Words) -> bytes:
        path, attributes = _path(words.text()), words.attributes()
        return _set_attributes(path, attributes)

    def _set_open(self, words: _Words) -> bytes:
        return _set_attributes(self._file(words), words.attributes())

    def _open_folder(self, words: _Words) -> bytes:
        path = _path(words.text())
        names = [b".", b"..", *(os.fsencode(each.name) for each in path.iterdir())]
        answer = self._handle(names)
        self._folders[str(self._count).encode()] = path
        return answer

    def _list(self, words: _Words) -> bytes:
        handle = words.text()
        names = self._handles[handle]
        if not isinstance(names, list):
            raise TypeError
        some, self._handles[handle] = names[:_LISTED_AT_ONCE], names[_LISTED_AT_ONCE:]
        if not some:
            return _status(_EOF, "the end")
        return _named(some, folder=self._folders[handle])

    def _make_folder(self, words: _Words) -> bytes:
        path, attributes = _path(words.text()), words.attributes()
        path.mkdir(attributes.get(_MODE, (0o777,))[0] & 0o7777)
        return _done()

    def _remove(self, words: _Words) -> bytes:
        _path(words.text()).unlink()
        return _done()

    def _remove_folder(self, words: _Words) -> bytes:
        _path(words.text()).rmdir()
        return _done()

    def _rename(self, words: _Words) -> bytes:
        old, new = _path(words.text()), _path(words.text())
        if os.path.lexists(new):
            return _status(_FAILURE, "there is something of that name")
        old.rename(new)
        return _done()

    def _link(self, words: _Words) -> bytes:
        # OpenSSH and all who follow it send the target first, unlike the draft.
        target, path = words.text(), _path(words.text())
        path.symlink_to(os.fsdecode(target))
        return _done()

    def _extended(self, words: _Words) -> bytes:
        name = words.text()
        if name == b"posix-rename@openssh.com":
            _path(words.text()).replace(_path(words.text()))
        elif name == b"hardlink@openssh.com":
            old = _path(words.text())
            _path(words.text()).hardlink_to(old)
        elif name == b"fsync@openssh.com":
            os.fsync(self._file(words))
        else:
            return _status(_UNSUPPORTED, "not known here")
        return _done()

    def _handle(self, what: int | list[bytes]) -> bytes:
        self._count += 1
        name = str(self._count).encode()
        self._handles[name] = what
        return bytes([_HANDLE]) + _text(name)

    def _file(self, words: _Words) -> int:
        found = self._handles[words.text()]
        if not isinstance(found, int):
            raise TypeError
        return found


def _path(raw: bytes) -> Path:
    return Path.cwd() / os.fsdecode(raw)


def _set_attributes(what: Path | int, attributes: dict[int, tuple[int, ...]]) -> bytes:
    if _SIZE in attributes:
        os.truncate(what, attributes[_SIZE][0])
    if _OWNER in attributes:
        os.chown(what, *attributes[_OWNER])
    if _MODE in attributes:
        os.chmod(what, attributes[_MODE][0] & 0o7777)  # noqa: PTH101
    if _TIMES in attributes:
        read_at, changed_at = attributes[_TIMES]
        os.utime(what, (read_at, changed_at))
    return _done()


def _done() -> bytes:
    return _status(_OK, "")


def _status(code: int, text: str) -> bytes:
    return bytes([_STATUS]) + struct.pack(">I", code) + _text(text.encode()) + _text(b"en")


def _text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _named(names: list[bytes], *, folder: Path | None = None) -> bytes:
    entries = []
    for name in names:
        attributes, line = struct.pack(">I", 0), name
        if folder is not None:
            try:
                found = (folder / os.fsdecode(name)).lstat()
            except OSError:
                continue
            attributes, line = _attributes(found), _line(name, found)
        entries.append(_text(name) + _text(line) + attributes)
    return bytes([_NAME]) + struct.pack(">I", len(entries)) + b"".join(entries)


def _told_of(found: os.stat_result) -> bytes:
    return bytes([_ATTRS]) + _attributes(found)


def _attributes(found: os.stat_result) -> bytes:
    return struct.pack(
        ">IQIIIII",
        _SIZE | _OWNER | _MODE | _TIMES,
        found.st_size,
        found.st_uid,
        found.st_gid,
        found.st_mode,
        int(found.st_atime) & 0xFFFFFFFF,
        int(found.st_mtime) & 0xFFFFFFFF,
    )


def _line(name: bytes, found: os.stat_result) -> bytes:
    at = time.strftime("%b %d %H:%M", time.gmtime(found.st_mtime))
    head = f"{stat.filemode(found.st_mode)} {found.st_nlink:>4} {found.st_uid:<8} {found.st_gid:<8}"
    return f"{head} {found.st_size:>12} {at} ".encode() + name
