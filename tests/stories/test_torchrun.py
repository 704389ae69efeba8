"""The first multi-node line that users see, run for real on the mock."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.torch]

TRAIN = """
import torch
import torch.distributed as dist

dist.init_process_group("gloo")
total = torch.tensor([float(dist.get_rank())])
dist.all_reduce(total)
print(f"rank {dist.get_rank()} of {dist.get_world_size()} has {int(total.item())}\\n", end="", flush=True)
dist.barrier()
dist.destroy_process_group()
"""


def test_an_unedited_torchrun_forms_one_group(tmp_path: Path):
    """`torchrun --nproc_per_node=2` on two nodes is a world of four, with the user's file uploaded to both."""
    pytest.importorskip("torch")
    work = tmp_path / "work"
    work.mkdir()
    (work / "train.py").write_text(TRAIN)
    bin_dir = Path(sys.executable).parent
    environ = {
        "PATH": f"{bin_dir}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "FLOW_STATE_DIR": str(tmp_path / "state"),
        "FLOW_CONFIG_DIR": str(tmp_path / "config"),
        "FLOW_PROVIDER": "mock",
        "FLOW_MOCK_INSTANT": "yes",
    }

    ran = subprocess.run(
        [
            bin_dir / "flow",
            "submit",
            "torchrun --nproc_per_node=2 train.py",
            "-i",
            "8xa100",
            "-N",
            "2",
        ],
        env=environ,
        cwd=work,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )

    said = sorted(line.partition("] ")[2] for line in ran.stdout.splitlines() if "rank" in line)
    assert 0 == ran.returncode, ran.stderr
    assert [f"rank {rank} of 4 has 6" for rank in range(4)] == said
