"""The cluster's login node, over SSH and not, and what is said when something there is missing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow_adapters.clocks import SystemClock
from flow_adapters.packing import TarCodeStore
from flow_core.domain.bid import BidState
from flow_core.errors import FlowError, Misconfigured, Transient
from flow_core.ports.provider import Provider, ProviderContext
from flow_core.ports.shell import NodeExit
from flow_providers.conformance.bed import Bed
from flow_providers.conformance.lines import BOTH_STREAMS
from flow_providers.slurm import connect
from tests.slurm_provider.cluster import RunningCluster
from tests.slurm_provider.test_kit import SlurmRig
from tests.ssh.sshd import Sshd, free_port
from tests.terminal import at_terminal

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


@pytest.fixture(scope="module")
def login_node(slurm: RunningCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """The cluster's login node: an SSH server where Slurm's commands are found."""
    folder = tmp_path_factory.mktemp("login")
    told = f"SetEnv HOME={folder} SLURM_CONF={slurm.config}"
    server = Sshd(folder / "sshd", settings=(told,))
    server.start()
    yield server
    server.stop()


def provider(folder: Path, **told: str) -> Provider:
    """The provider with these settings."""
    options = {"slurm.folder": str(folder / "shared"), "slurm.python": sys.executable}
    options |= {
        name if name == "ssh_key" else f"slurm.{name}": value for name, value in told.items()
    }
    return connect(ProviderContext(state_dir=str(folder), clock=SystemClock(), options=options))


class FarRig(SlurmRig):
    def __init__(self, folder: Path, cluster: RunningCluster, server: Sshd) -> None:
        super().__init__(folder, cluster)
        self.server = server

    def provider(self) -> Provider:
        login = f"root@127.0.0.1:{self.server.port}"
        return provider(self.folder, login=login, ssh_key=str(self.server.user_key))


def test_all_of_it_over_ssh(tmp_path: Path, slurm: RunningCluster, login_node: Sshd):
    """Through a login node a bid is placed once, commands run, files arrive, its log is kept, and it ends."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a b.txt").write_text("brought")
    bundle = TarCodeStore(tmp_path / "store").pack(str(tmp_path / "code"))
    bed = Bed(FarRig(tmp_path, slurm, login_node))
    try:
        request = bed.request(BOTH_STREAMS)
        bid, allocation = bed.granted(request)
        node = allocation.nodes[0]
        arrived = list(bed.shell.upload([node], bundle, target="."))
        answer = bed.answer(node, "cat 'a b.txt' -; exit 4", stdin=b" and typed")
        again = bed.market.place(request)
        report = bed.ended(bid)
        bed.market.withdraw(bid.id)
        bed.until("the bid ended", lambda: bed.state(bid) is BidState.TERMINATED)

        assert [NodeExit(node, 0)] == arrived
        assert (b"brought and typed", 4) == (answer.out, answer.code)
        assert bid.id == again.id
        assert BOTH_STREAMS.code == report.exit_code
        assert BOTH_STREAMS.out in bed.logs.read(bid.id, 0).data
    finally:
        bed.tidy()


def test_a_person_at_a_terminal_sets_it_up(tmp_path: Path, login_node: Sshd):
    """Each answer is tried at the cluster as it is typed: a wrong one is told, a right one kept in the settings."""
    config = tmp_path / "config" / "config.toml"
    config.parent.mkdir()
    config.write_text(f'ssh_key = "{login_node.user_key}"\n[slurm]\npython = "{sys.executable}"\n')
    env = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "xterm", "LC_ALL": "C.UTF-8",
        "FLOW_CONFIG_DIR": str(config.parent), "FLOW_STATE_DIR": str(tmp_path / "state"),
    }  # fmt: skip
    flow = Path(sys.executable).parent / "flow"
    with at_terminal([flow, "setup", "--provider", "slurm"], env=env, width=200) as terminal:
        terminal.until(b"Login node")
        terminal.type(f"root@127.0.0.1:{free_port()}\r".encode())
        terminal.until(b"can't be reached")
        terminal.type(f"root@127.0.0.1:{login_node.port}\r".encode())
        terminal.until(b"4 nodes, as root")
        terminal.type(f"{tmp_path}/shared\r".encode())
        terminal.until(b"can be written")
        terminal.type(b"\r" * 4)  # all else stays as it is
        terminal.until(b"config.toml")
        code = terminal.process.wait(60)

    assert 0 == code
    assert f'folder = "{tmp_path}/shared"' in config.read_text()
    assert f'login = "root@127.0.0.1:{login_node.port}"' in config.read_text()


def refusal(there: Provider, kind: type[FlowError]) -> str:
    """What the provider says when it is asked for quotes."""
    with pytest.raises(kind) as caught:
        there.market.quotes()
    return f"{caught.value.message} {caught.value.hint}"


def test_a_login_node_that_is_not_there(tmp_path: Path):
    """A machine on which nothing answers is named, with what to try; nothing was asked of Slurm."""
    said = refusal(provider(tmp_path, login=f"me@127.0.0.1:{free_port()}"), Transient)

    assert "the login node me@127.0.0.1 can't be reached" in said


def test_a_login_node_without_python(tmp_path: Path, login_node: Sshd):
    """A Python that the login node doesn't have is named, with the setting."""
    told = {"login": f"root@127.0.0.1:{login_node.port}", "ssh_key": str(login_node.user_key)}
    said = refusal(provider(tmp_path, **told, python="/no/python"), Misconfigured)

    assert "there is no /no/python on root@127.0.0.1" in said
    assert "slurm.python" in said


def test_a_machine_without_slurm(tmp_path: Path):
    """Where there are no commands of Slurm's, that is said with the setting that names another machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        said = refusal(provider(tmp_path), Misconfigured)

    assert "on this machine" in said
    assert "slurm.login" in said


def test_a_controller_that_is_down(tmp_path: Path, slurm: RunningCluster):
    """A controller that doesn't answer is told as such, and no bid is taken to have ended for it."""
    text = slurm.config.read_text("utf-8")
    port = next(line for line in text.splitlines() if line.startswith("SlurmctldPort="))
    dead = tmp_path / "slurm.conf"
    dead.write_text(
        text.replace(port, f"SlurmctldPort={free_port()}")
        + "SlurmctldTimeout=1\nMessageTimeout=2\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(dead))
        said = refusal(provider(tmp_path), Transient)

    assert "Slurm on this machine gave no answer" in said
    assert "scontrol ping" in said


def test_a_folder_that_can_not_be(tmp_path: Path, slurm: RunningCluster):
    """A shared folder that can't be made is named, with the setting."""
    (tmp_path / "shared").write_text("in the way")
    said = refusal(provider(tmp_path), Misconfigured)

    assert f"{tmp_path}/shared" in said
    assert "slurm.folder" in said
