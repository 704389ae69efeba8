"""What an image's name alone tells before anything is bid."""

from __future__ import annotations

import pytest

from flow_core.domain.images import missing_interpreter
from flow_core.domain.task import TaskSpec

SEED = "nvidia/cuda:12.1.0-runtime-ubuntu22.04"


@pytest.mark.parametrize(
    ("image", "command"),
    [
        (SEED, "python train.py"),
        (f"docker.io/{SEED}", ("python3.11", "train.py")),
        ("ubuntu:22.04", "CUDA_VISIBLE_DEVICES=0 exec torchrun train.py"),
        ("library/debian", "pip install x && python x.py"),
    ],
)
def test_an_image_without_the_interpreter_is_named(image: str, command: str | tuple[str, ...]):
    """Images that are known to be made without Python are told apart by repository and tag."""
    told = missing_interpreter(TaskSpec(command=command, image=image))

    assert told.startswith(f"{image} has no Python, and the command begins with ")


@pytest.mark.parametrize(
    "about",
    [
        {"command": "nvidia-smi", "image": SEED},
        {"command": "python train.py"},
        {"command": "python train.py", "image": "nvidia/cuda:12.1.0-devel-ubuntu22.04"},
        {"command": "python train.py", "image": "registry.example/ubuntu:22.04"},
        {"command": "python train.py", "image": "pytorch/pytorch"},
        {"command": "python train.py", "image": SEED, "environment": "python:3.11"},
    ],
)
def test_what_is_not_known_is_not_told(about: dict[str, str]):
    """Nothing is said of images that may have it, of other programs, and where Python is brought along."""
    assert "" == missing_interpreter(TaskSpec(**about))
