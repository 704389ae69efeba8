"""Files of this machine as block devices, for volumes; a device goes by itself when the last who has it open ends."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

_CONTROL = Path("/dev/loop-control")
_GET_FREE, _CONFIGURE = 0x4C82, 0x4C0A
_AUTO_CLEAR = 4
_TRIES = 20


def problem() -> str | None:
    """Return why this machine can attach no block volumes; None if it can."""
    if os.geteuid() != 0 or not os.access(_CONTROL, os.W_OK):
        return "block volumes need loop devices, which this machine gives to root only"
    return None


def attach(file: Path) -> tuple[int, int]:
    """Make `file` a block device; return a descriptor that keeps it, and the device's number.

    Raises:
        OSError: there is none to be had.
    """
    import fcntl

    control = os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    backing = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_TRIES):
            number = fcntl.ioctl(control, _GET_FREE)
            device = os.open(f"/dev/loop{number}", os.O_RDWR | os.O_CLOEXEC)
            try:
                # Source: linux/loop.h, struct loop_config around struct loop_info64.
                fcntl.ioctl(device, _CONFIGURE, _config(backing))
            except OSError as exc:
                os.close(device)
                if exc.errno != errno.EBUSY:
                    raise
            else:
                return device, os.fstat(device).st_rdev
        raise OSError(errno.EBUSY, "others take every loop device first")
    finally:
        os.close(control)
        os.close(backing)


def _config(backing: int) -> bytes:
    info = struct.pack("=5Q4I64s64s32s2Q", 0, 0, 0, 0, 0, 0, 0, 0, _AUTO_CLEAR, b"", b"", b"", 0, 0)
    return struct.pack("=2I", backing, 0) + info + bytes(64)
