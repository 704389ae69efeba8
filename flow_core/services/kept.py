"""Boot images and lifecycle scripts, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flow_core.errors import NotFound, Unsupported

if TYPE_CHECKING:
    from flow_core.domain.kept import BootImage, LifecycleScript
    from flow_core.ports.provider import Provider
    from flow_core.ports.scripts import Scripts

_WHICH = "`flow provider list` shows what each provider offers"


class Kept:
    """What users do with what a provider keeps."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def images(self) -> Sequence[BootImage]:
        """Return the images that nodes can boot, the default first.

        Raises:
            Unsupported: the provider has no images of its own.
        """
        if self._provider.images is None:
            raise Unsupported(f"{self._provider.name} has no boot images", hint=_WHICH)
        return self._provider.images.images()

    def scripts(self) -> Sequence[LifecycleScript]:
        """Return every script, the one that changed last first.

        Raises:
            Unsupported: the provider keeps none.
        """
        return self._scripts().scripts()

    def script(self, name: str) -> LifecycleScript:
        """Return one script by id, or by a name that only one has.

        Raises:
            NotFound: with the names there are.
            Unsupported: the provider keeps none.
        """
        there = self.scripts()
        found = [each for each in there if each.id == name] or [
            each for each in there if each.name == name
        ]
        if len(found) != 1:
            much = "several scripts are" if found else "no script is"
            known = ", ".join(f"{each.name} ({each.id})" for each in found or there) or "none"
            raise NotFound(f"{much} named {name!r}", hint=f"scripts: {known}")
        return found[0]

    def text(self, script: LifecycleScript) -> str:
        """Return what a script says."""
        return self._scripts().text(script.id)

    def add(self, name: str, *, text: str, description: str = "") -> LifecycleScript:
        """Keep a script; see `ports.scripts.Scripts.add`."""
        return self._scripts().add(name, text=text, description=description)

    def delete(self, script: LifecycleScript) -> None:
        """Forget a script."""
        self._scripts().delete(script.id)

    def _scripts(self) -> Scripts:
        if self._provider.scripts is None:
            raise Unsupported(f"{self._provider.name} keeps no scripts", hint=_WHICH)
        return self._provider.scripts
