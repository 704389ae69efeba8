"""The setup role: which machine has Slurm's commands, and which folder the cluster shares."""

from __future__ import annotations

from collections.abc import Sequence

from flow_core.errors import InvalidRequest
from flow_core.ports.setup import Choice, Question
from flow_providers.slurm.catalog import Surveyor

LOGIN, FOLDER = "slurm.login", "slurm.folder"


class SlurmSetup:
    """Implements `ports.setup.Setup`; `where` is the login node."""

    def __init__(self, surveyor: Surveyor, *, where: str) -> None:
        self._surveyor = surveyor
        self._where = where

    def questions(self) -> Sequence[Question]:
        """See `Setup.questions`."""
        return (
            Question(
                setting=LOGIN,
                words="Login node",
                help="where sbatch is, as you@login.example.org; nothing where it is this machine",
            ),
            Question(
                setting=FOLDER,
                words="Shared folder",
                help="one that the login node and all nodes see; nothing for .flow-slurm in your home there",
            ),
        )

    def origin(self) -> str | None:
        """See `Setup.origin`."""
        return None

    def choices(self, setting: str) -> Sequence[Choice]:
        """See `Setup.choices`."""
        return ()

    def check(self, setting: str) -> str:
        """See `Setup.check`."""
        found = self._surveyor.look(within_s=0)
        if setting == LOGIN:
            about = self._surveyor.about()
            words = f"{about['version']} on {self._where}"
            return f"{words}, {len(found.nodes)} nodes, as {about['user']}"
        if setting == FOLDER:
            return f"{found.folder} can be written"
        raise InvalidRequest({setting: "is nothing that Slurm needs to be told"})
