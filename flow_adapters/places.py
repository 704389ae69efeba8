"""Where Flow keeps its files for this user: settings, state, and what can be made again.

Each folder is the platform's usual one unless a variable names another. Only the owner may look inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from flow_core.errors import Misconfigured

_APP = "flow"


def config_dir(environ: Mapping[str, str]) -> Path:
    """Return the folder of the user's settings, `FLOW_CONFIG_DIR` first; it may not exist yet."""
    named = environ.get("FLOW_CONFIG_DIR")
    if named:
        return Path(named).expanduser().absolute()
    from platformdirs import user_config_path

    return user_config_path(_APP, appauthor=False)


def state_dir(environ: Mapping[str, str]) -> Path:
    """Return the folder of the journal and the watcher, `FLOW_STATE_DIR` first; it may not exist yet."""
    named = environ.get("FLOW_STATE_DIR")
    if named:
        return Path(named).expanduser().absolute()
    from platformdirs import user_state_path

    return user_state_path(_APP, appauthor=False)


def cache_dir(environ: Mapping[str, str]) -> Path:
    """Return the folder of what can be made again, inside the state folder where `FLOW_STATE_DIR` names one."""
    if environ.get("FLOW_STATE_DIR"):
        return state_dir(environ) / "cache"
    from platformdirs import user_cache_path

    return user_cache_path(_APP, appauthor=False)


def user_settings(environ: Mapping[str, str]) -> Path:
    """Return the user's own file of settings."""
    return config_dir(environ) / "config.toml"


def home_dir(environ: Mapping[str, str]) -> Path:
    """Return the user's home."""
    named = environ.get("HOME") or environ.get("USERPROFILE")
    return Path(named) if named else Path.home()


def made(folder: Path) -> Path:
    """Return `folder`, made if need be so that only its owner may look inside.

    Raises:
        Misconfigured: it can't be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(
            f"the folder {folder} can't be made: {error.strerror}",
            hint="FLOW_STATE_DIR and FLOW_CONFIG_DIR name other folders",
        ) from error
    return folder


def shown(path: Path, environ: Mapping[str, str]) -> str:
    """Return `path` as people say it, with `~` for their home."""
    home = home_dir(environ)
    return f"~/{path.relative_to(home).as_posix()}" if path.is_relative_to(home) else str(path)
