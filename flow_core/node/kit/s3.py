"""Mounts parts of buckets by s3fs, on the node itself and never in a container of the user's.

Each is mounted at a place of ours and bound to the task's path, so that keys can be renewed under a running command:
s3fs reads its keys once, so a second one is mounted with the new keys and takes the first one's place between two
system calls. Files that are open stay with the first, which ends when the last of them is closed. Keys are passed in a
file that only root reads and that goes when s3fs has read it; a session token, for which s3fs knows no file, in the
environment of its process, which only root reads too.

What we don't like: a command that keeps its working directory on the mount stays with the keys it began with.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import ssl
import sys
import time
from typing import Any

from flow_core.node.kit import s3_api
from flow_core.node.kit.leaving import owner
from flow_core.node.kit.mounting import bind, call, claim, is_same, mounted_at, say, wait_for
from flow_core.node.kit.steps import StepFailed
from flow_core.node.node_store import load, path, save, write

_BIND, _DETACH = 4096, 2
#: Keys that end within this many seconds are not begun with.
_TOO_SHORT_S = 60


def step(setup: dict[str, Any], env: dict[str, str], command: list[str]) -> None:
    """Mount or copy every source; what stands already is left."""
    keys, scratch = fresh_keys(setup), fast_folder(setup)
    trust()
    for about in sorted(setup["mounts"], key=lambda each: str(each["path"])):
        place = about["path"].rstrip("/")
        if about["copied"]:
            copy(about, place, keys, scratch)
        elif not stands(about, place):
            put_away(place)
            claim(place, s3_api.named(about))
            staging = mount(about, keys, scratch)
            show(staging, place)
            remember(about, place, staging)


def renew() -> None:
    """Take new keys from stdin, keep them for later attempts, and have every mount that stands use them."""
    keys = json.load(sys.stdin)
    delivery = load("delivery.json")
    setup = (delivery.get("setup") or {}).get("s3")
    if not setup:
        return
    setup["keys"] = keys
    save("delivery.json", delivery)
    trust()
    for about in setup["mounts"]:
        place = about["path"].rstrip("/")
        if about["copied"] or not stands(about, place):
            continue
        before = load("s3.json")[place]["staging"]
        staging = mount(about, keys, fast_folder(setup))
        show(staging, place)
        remember(about, place, staging)
        let_go(before)


def trust() -> None:
    """Trust the authorities that came with s3fs where this node knows none."""
    brought = os.environ.get("FLOW_CA", "")
    if os.path.exists(brought) and not os.path.exists(
        ssl.get_default_verify_paths().openssl_cafile
    ):
        os.environ.setdefault("SSL_CERT_FILE", brought)


def fast_folder(setup: dict[str, Any]) -> str:
    """Return the node's fastest disk, where it has the one that its provider speaks of."""
    scratch = str(setup.get("scratch") or "")
    return scratch if os.path.isdir(scratch) else ""


def fresh_keys(setup: dict[str, Any]) -> Any:
    """Return keys that have not expired; new ones are waited for, for after a pause only old ones are here."""
    found = [setup["keys"]]

    def are_fresh() -> bool:
        expires = found[0].get("expires")
        if not expires or expires - time.time() > _TOO_SHORT_S:
            return True
        told = (load("delivery.json").get("setup") or {}).get("s3") or setup
        found[0] = told["keys"]
        return False

    wait_for("keys to the bucket that have not expired", are_fresh)
    return found[0]


def stands(about: dict[str, Any], place: str) -> bool:
    """Whether this very source is at `place` and answers; its s3fs may be dead."""
    kept = load("s3.json").get(place)
    if not kept or kept["about"] != about or not mounted_at(place):
        return False
    try:
        os.listdir(place)
    except OSError:
        return False
    return True


def put_away(place: str) -> None:
    """Take away what an earlier attempt mounted at `place`."""
    kept = load("s3.json").get(place)
    if kept:
        if mounted_at(place):
            libc().umount2(os.fsencode(place), _DETACH)
        let_go(kept["staging"])


def let_go(staging: str) -> None:
    """End a mount of ours when the last of its files is closed."""
    libc().umount2(os.fsencode(staging), _DETACH)
    try:
        os.rmdir(staging)
    except OSError:
        pass


def remember(about: dict[str, Any], place: str, staging: str) -> None:
    """Write down what was mounted from where."""
    save("s3.json", dict(load("s3.json"), **{place: {"about": about, "staging": staging}}))


def mount(about: dict[str, Any], keys: dict[str, Any], scratch: str) -> str:
    """Mount a source by s3fs at a new place of ours; return the place once it answers.

    What s3fs holds of files that are open lies in `scratch`, where there is one.
    """
    program, about = find_s3fs(), dict(about)
    s3_api.check(about, keys)
    name = hashlib.sha256(about["path"].encode()).hexdigest()[:12]
    staging = path("s3/%s.%d.%d" % (name, os.getpid(), time.time_ns()))
    os.makedirs(staging)
    options = [
        "url=%s" % s3_api.url_of(about),
        "endpoint=%s" % s3_api.region_of(about),
        "use_path_request_style",
        "umask=0022",
        "mp_umask=0022",
        "rw" if about["writable"] else "ro",
    ]
    own = owner()
    if own is not None:
        options += ["uid=%d" % own[0], "gid=%d" % own[1]]
    if scratch:
        options.append("tmpdir=%s" % scratch)
    if os.geteuid() == 0:
        options.append("allow_other")
    env = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
    secret = staging + ".keys"
    if keys.get("token"):
        env.update(AWSACCESSKEYID=keys["access"], AWSSECRETACCESSKEY=keys["secret"])
        env.update(AWSSESSIONTOKEN=keys["token"])
        options.append("use_session_token")
    else:
        write(secret, ("%s:%s\n" % (keys["access"], keys["secret"])).encode())
        options.append("passwd_file=%s" % secret)
    source = about["bucket"] + (":/" + about["prefix"] if about["prefix"] else "")
    words = [program, source, staging, "-o", ",".join(options)]
    if os.path.exists("/run/systemd/private") and shutil.which("systemd-run"):
        # Out of the helper's own unit, with which it would end.
        words = ["systemd-run", "--quiet", "--scope", *words]
    call(*words, env=env)
    try:
        # It answers once it has been to the bucket, and is gone again where it couldn't.
        os.listdir(staging)
    except OSError as error:
        raise StepFailed(
            "%s: s3fs could not mount it: %s" % (s3_api.named(about), error.strerror)
        ) from None
    finally:
        if os.path.exists(secret):
            os.remove(secret)
    if not mounted_at(staging):
        raise StepFailed("%s: s3fs ended without mounting it" % s3_api.named(about))
    return staging


def show(staging: str, place: str) -> None:
    """Have `place` show `staging`, in the place of what it showed before."""
    if mounted_at(place):
        libc().umount2(os.fsencode(place), _DETACH)
    if libc().mount(os.fsencode(staging), os.fsencode(place), None, ctypes.c_ulong(_BIND), None):
        error = os.strerror(ctypes.get_errno())
        raise StepFailed("the bucket can't be mounted at %s: %s" % (place, error))


def copy(about: dict[str, Any], place: str, keys: dict[str, Any], scratch: str) -> None:
    """Copy a source to the node's fastest disk and bind the copy; one that is whole is not made again."""
    root = scratch or path("s3")
    name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]
    target = os.path.join(root, "flow-s3-%s" % name)
    if not os.path.isdir(target):
        staging = mount(about, keys, scratch)
        say("copying %s to %s" % (s3_api.named(about), target))
        try:
            shutil.rmtree(target + ".part", ignore_errors=True)
            # Not by cp, which a container's image may lack.
            shutil.copytree(staging, target + ".part", symlinks=True, copy_function=shutil.copy)
            give(target + ".part")
            os.rename(target + ".part", target)
        except OSError as error:
            raise StepFailed(
                "%s could not be copied: %s" % (s3_api.named(about), why(error))
            ) from None
        finally:
            let_go(staging)
    if owner() is None:
        bind(target, place, False, s3_api.named(about))
    elif not is_same(target, place):
        # No link would do: it leads through folders that are root's alone.
        claim(place, s3_api.named(about))
        show(target, place)


def give(top: str) -> None:
    """Have a folder and all in it be the command's own."""
    own = owner()
    if own is None:
        return
    os.chown(top, *own)
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            os.chown(os.path.join(folder, name), *own, follow_symlinks=False)


def why(error: OSError) -> str:
    """Return a reason in words; of many files that could not be copied, the first one's."""
    if isinstance(error, shutil.Error):
        return str(error.args[0][0][2])
    return str(error)


def find_s3fs() -> str:
    """Return s3fs, installed where this node can."""
    if not os.path.exists("/dev/fuse"):
        raise StepFailed("s3:// needs FUSE, and this node has no /dev/fuse")
    carried = os.environ.get("FLOW_S3FS", "")
    found = carried if os.path.exists(carried) else shutil.which("s3fs")
    if found:
        return found
    if os.geteuid() or not shutil.which("apt-get"):
        raise StepFailed(
            "s3:// needs s3fs, which is not on this node; install it (Debian's package is s3fs)"
        )
    say("installing s3fs")
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    try:
        call("apt-get", "-q", "update", env=env)
        call("apt-get", "-qy", "install", "--no-install-recommends", "s3fs", env=env)
    except StepFailed as refused:
        raise StepFailed("s3:// needs s3fs, which could not be installed: %s" % refused) from None
    return shutil.which("s3fs") or "s3fs"


def libc() -> Any:
    """Return the system's own calls."""
    return ctypes.CDLL(None, use_errno=True)
