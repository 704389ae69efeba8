"""What the command doesn't keep of what its set-up had: being root, and single capabilities.

A container whose set-up mounts something is made with more than its command should have. FLOW_RUN_AS names who that
command is to be, FLOW_WITHOUT_CAPABILITIES the numbers of what it must not be able to do.
"""

from __future__ import annotations

import ctypes
import grp
import os
import pwd

from flow_core.node.kit.steps import StepFailed

#: Source: linux/prctl.h.
_DROP_FROM_BOUNDS = 24


def leave(env: dict[str, str]) -> None:
    """Give up what the environment says; the next program that is started no longer has it."""
    numbers, wanted = env.pop("FLOW_WITHOUT_CAPABILITIES", ""), env.pop("FLOW_RUN_AS", "")
    if os.geteuid():
        return
    for number in numbers.split():
        if ctypes.CDLL(None, use_errno=True).prctl(_DROP_FROM_BOUNDS, int(number), 0, 0, 0):
            raise StepFailed("capabilities: %s" % os.strerror(ctypes.get_errno()))
    if wanted:
        become(wanted, env)


def become(wanted: str, env: dict[str, str]) -> None:
    """Become the user USER[:GROUP], by numbers or names."""
    about, user, group = named(wanted)
    os.setgroups(os.getgrouplist(about.pw_name, group) if about else [])
    os.setgid(group)
    os.setuid(user)
    env["HOME"] = about.pw_dir if about else "/"


def owner() -> tuple[int, int] | None:
    """Return whose the command's files are to be, user and group; None where that is who runs this."""
    wanted = os.environ.get("FLOW_RUN_AS", "")
    return named(wanted)[1:] if wanted and not os.geteuid() else None


def named(wanted: str) -> tuple[pwd.struct_passwd | None, int, int]:
    """Return what is known of USER[:GROUP], and both as numbers."""
    name, _, group = wanted.partition(":")
    try:
        about = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except KeyError:
        about = None
    if about is None and not name.isdigit():
        raise StepFailed("user: this image has no user %r" % name)
    user = about.pw_uid if about else int(name)
    main = about.pw_gid if about else 0
    if group:
        main = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    return about, user, main
