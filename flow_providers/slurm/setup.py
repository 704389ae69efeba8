"""The setup role: which machine has Slurm's commands, and which folder the cluster shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flow_core.errors import InvalidRequest
from flow_core.ports.setup import Choice, Question
from flow_providers.slurm.catalog import Cluster

LOGIN, FOLDER = "slurm.login", "slurm.folder"


class SlurmSetup:
    """Implements `ports.setup.Setup`; `look` asks the cluster."""

    def __init__(self, look: Callable[[], Cluster], *, where: str) -> None:
        self._look = look
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
        found = self._look()
        if setting == LOGIN:
            count = len(found.nodes)
            return f"{found.version} on {self._where}, {count} nodes, as {found.user}"
        if setting == FOLDER:
            return f"{found.folder} can be written"
        raise InvalidRequest({setting: "is nothing that Slurm needs to be told"})
