"""Which algorithms OpenSSH's client is told to prefer where our own connections do, too.

AES-GCM, where this machine's processor computes it: the client's own first choice, ChaCha20, takes either end twice as
long there. Nodes are servers, whose processors have had such instructions since 2010.

Of the key exchanges not the hybrid with NTRU Prime, with which a login takes a tenth of a second longer: where both
ends know the one with ML-KEM, that comes first, else X25519. See decision 50.

Settings that say anything of the one or the other are left to say it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

#: Ordered for speed, among those that nobody doubts; what OpenSSH offers by itself. Source: ssh_config(5), Ciphers.
CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
#: All that the client would offer but these. Source: ssh_config(5), KexAlgorithms; a client before 7.5 refuses it.
KEX = "-sntrup761x25519-sha512*"
#: Where the settings of all users lie, by the system's own packages and by others'. Source: ssh(1), FILES.
SYSTEM = tuple(Path(each) / "ssh" for each in ("/etc", "/usr/etc", "/opt/homebrew/etc"))
_SAYS = re.compile(rb"(?im)^[ \t]*\"?(ciphers|kexalgorithms)\b")
_ALL = frozenset({b"ciphers", b"kexalgorithms"})
_INCLUDE = re.compile(rb"(?im)^[ \t]*\"?include\"?[ \t=]+(.+?)[ \t\r]*$")
#: What in the path of an Include only ssh knows to read: quotes, variables, tokens and others' homes.
_ODD = frozenset(b"\"'$%\\~")
_LEVELS = 16  # Source: ssh_config(5), Include, as `READCONF_MAX_DEPTH`
#: The feature of that name, by the kernel's number. Source: Linux, cpufeatures.h (word 4, bit 25) and hwcap.h.
_AES = {"x86_64": b",0099", "aarch64": b",0003"}


def preferring(
    options: Sequence[str], *, home: Path | None = None, system: Sequence[Path] = SYSTEM
) -> list[str]:
    """Return options of OpenSSH's client, and the algorithms it is to prefer; none that settings it reads may say.

    `home` is where it finds the user's own settings: without it, where the system says, whatever HOME does.
    """
    said = _said(options, home or _home(), system)
    more = []
    if b"ciphers" not in said and has_aes():
        more += ["-o", f"Ciphers={','.join(CIPHERS)}"]
    if b"kexalgorithms" not in said:
        more += ["-o", f"KexAlgorithms={KEX}"]
    return [*options, *more]


def has_aes(features: Path = Path("/sys/devices/system/cpu/modalias")) -> bool:
    """Whether this machine's processor has instructions for AES; Linux tells in `features`, every Mac's has."""
    if sys.platform == "darwin":
        return True
    feature = _AES.get(os.uname().machine)
    try:
        # Not /proc/cpuinfo: older kernels first ask every processor for its speed, which takes 10 ms.
        return feature is not None and feature in features.read_bytes()
    except OSError:
        return False


def _said(options: Sequence[str], home: Path, system: Sequence[Path]) -> frozenset[bytes]:
    """Return what the settings that ssh reads for a user of this home may say something of."""
    own = home / ".ssh"
    if "-F" in options:
        return _said_by(Path(options[options.index("-F") + 1]), own, home)
    files = [(own / "config", own), *((folder / "ssh_config", folder) for folder in system)]
    return frozenset().union(*(_said_by(path, folder, home) for path, folder in files))


def _said_by(path: Path, folder: Path, home: Path, level: int = 0) -> frozenset[bytes]:
    """Return what a file may say something of, or what it includes from `folder`; one that can't be read, of all."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return frozenset()
    except OSError:
        return _ALL
    included = b" ".join(_INCLUDE.findall(text))
    if level > _LEVELS or not _ODD.isdisjoint(included.replace(b"~/", b"")):
        return _ALL
    said = frozenset(word.lower() for word in _SAYS.findall(text))
    return said.union(
        *(
            _said_by(each, folder, home, level + 1)
            for pattern in included.decode("utf-8", "surrogateescape").split()
            for each in _found(home / pattern[2:] if pattern.startswith("~/") else folder / pattern)
        )
    )


def _found(place: Path) -> Iterable[Path]:
    return Path(place.anchor).glob(str(place.relative_to(place.anchor)))


def _home() -> Path:
    import pwd

    return Path(pwd.getpwuid(os.getuid()).pw_dir)
