"""A real Slurm that keeps accounts: a MariaDB and slurmdbd beside it, and limits on who may hold what.

`python -m tests.slurm_provider.accounting start FOLDER` brings one up by hand; `stop` ends it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from collections.abc import Sequence

from attrs import frozen

from tests.slurm.cluster import DAEMON_PATH, by_hand, free_port
from tests.slurm_provider.cluster import RunningCluster

PROGRAMS = ("slurmdbd", "mariadbd", "mariadb-install-db", "mariadb", "sacctmgr", "sacct")
#: The account that everybody has, and one that may hold a single GPU at a time.
USUAL, SMALL = "lab", "small"
#: A quality of service whose jobs may ask for a minute at most.
BRIEF = "brief"


def missing_accounting() -> list[str]:
    """The programs of accounting that this machine lacks."""
    return [name for name in PROGRAMS if shutil.which(name, path=DAEMON_PATH) is None]


@frozen
class AccountingCluster(RunningCluster):
    """Another `RunningCluster`, which forgets a job seconds after its end: accounts remember it."""

    @property
    def daemons(self) -> Sequence[str]:
        """See `Cluster.daemons`."""
        return [*super().daemons[:-1], "slurmdbd", super().daemons[-1], "mariadbd"]

    def configuration(self) -> Sequence[str]:
        """See `Cluster.configuration`."""
        return [
            *super().configuration(),
            "AccountingStorageType=accounting_storage/slurmdbd",
            "AccountingStorageHost=127.0.0.1",
            f"AccountingStoragePort={self._dbd_port()}",
            f"AccountingStoragePass={self.folder / 'munge.sock'}",
            "AccountingStorageEnforce=limits,qos",
            "AccountingStorageTRES=gres/gpu",
            "MinJobAge=2",
        ]

    def start_controller(self) -> None:
        """Bring up the database and the accounts first; see `Cluster.start_controller`.

        Raises:
            RuntimeError: a daemon did not start, with the end of its log.
        """
        self._start_database()
        super().start_controller()
        self._open_accounts()

    def start_munge(self) -> None:
        """See `Cluster.start_munge`; what keeps the accounts needs it, and the controller needs them."""
        super().start_munge()
        self._start_accounts()

    def _start_database(self) -> None:
        data = self.folder / "data"
        user = f"--user={pwd.getpwuid(os.getuid()).pw_name}"
        made = self.run(
            "mariadb-install-db", "--no-defaults", f"--datadir={data}", user,
            "--auth-root-authentication-method=normal", "--skip-test-db",
        )  # fmt: skip
        if made.returncode != 0:
            raise RuntimeError(f"mariadb-install-db: {made.stdout}{made.stderr}")
        port, socket = free_port(), self.folder / "db.sock"
        (self.folder / "db.port").write_text(str(port), "ascii")
        self.in_background(
            "mariadbd", "--no-defaults", f"--datadir={data}", user, f"--port={port}", f"--socket={socket}",
            "--bind-address=127.0.0.1", f"--pid-file={self.pid_file('mariadbd')}",
            "--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=0", "--skip-name-resolve",
        )  # fmt: skip
        ask = (
            "mariadb",
            "--no-defaults",
            f"--socket={socket}",
            "-e",
            "CREATE USER slurm@'127.0.0.1'",
        )
        self.until(lambda: self.run(*ask).returncode == 0, "mariadbd")
        granted = self.run(*ask[:-1], "GRANT ALL ON accounts.* TO slurm@'127.0.0.1'")
        if granted.returncode != 0:
            raise RuntimeError(f"mariadb: {granted.stderr}")

    def _start_accounts(self) -> None:
        settings = self.folder / "slurmdbd.conf"
        settings.touch(mode=0o600)
        settings.write_text(
            "\n".join(
                [
                    "AuthType=auth/munge",
                    f"AuthInfo=socket={self.folder / 'munge.sock'}",
                    f"DbdHost={self.host}",
                    "DbdAddr=127.0.0.1",
                    f"DbdPort={self._dbd_port()}",
                    f"SlurmUser={pwd.getpwuid(os.getuid()).pw_name}",
                    f"LogFile={self.folder / 'slurmdbd.log'}",
                    f"PidFile={self.pid_file('slurmdbd')}",
                    "StorageType=accounting_storage/mysql",
                    "StorageHost=127.0.0.1",
                    f"StoragePort={(self.folder / 'db.port').read_text('ascii')}",
                    "StorageUser=slurm",
                    "StorageLoc=accounts",
                ]
            )
            + "\n",
            "utf-8",
        )
        self.daemon("slurmdbd")
        self.until(lambda: self._accounts("list", "cluster") == "", "slurmdbd")
        self._accounts("add", "cluster", "real")

    def _open_accounts(self) -> None:
        """Give this user their accounts; limits on GPUs wait until the controller has told of GPUs."""
        user = pwd.getpwuid(os.getuid()).pw_name
        for words in (
            ("add", "qos", BRIEF, "MaxWall=1", "Flags=DenyOnLimit"),
            ("add", "account", USUAL),
            ("add", "account", SMALL, "GrpTRES=gres/gpu=1"),
            ("add", "user", user, f"Account={USUAL}"),
            ("add", "user", user, f"Account={SMALL}"),
            ("modify", "user", user, "set", f"DefaultAccount={USUAL}", f"qos+={BRIEF}"),
        ):
            complaint = self._accounts(*words)
            if complaint:
                raise RuntimeError(f"sacctmgr {' '.join(words)}: {complaint}")

    def _accounts(self, *words: str) -> str:
        """Ask for a change of the accounts, and return what is wrong with it."""
        done = self.run("sacctmgr", "--immediate", *words)
        return done.stdout + done.stderr if done.returncode != 0 else ""

    def _dbd_port(self) -> int:
        """The port of slurmdbd, which both configurations name: chosen once."""
        kept = self.folder / "dbd.port"
        if not kept.exists():
            kept.write_text(str(free_port()), "ascii")
        return int(kept.read_text("ascii"))


if __name__ == "__main__":
    sys.exit(by_hand(AccountingCluster))
