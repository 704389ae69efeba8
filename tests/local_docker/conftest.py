"""The engine that the tests of one session share, and what each test leaves there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flow_providers.local_docker.address import parse_address
from flow_providers.local_docker.engine import Engine
from tests.local_docker.engine import PYTHON_IMAGE, running_engine, with_images
from tests.local_docker.user import User


@pytest.fixture(scope="session")
def docker_host() -> Iterator[str]:
    """The address of a real engine that has the test images."""
    with running_engine() as host:
        with_images(host)
        yield host


@pytest.fixture
def engine(docker_host: str) -> Engine:
    """A client of the engine."""
    return Engine(parse_address(docker_host))


@pytest.fixture
def user(tmp_path: Path, docker_host: str) -> User:
    """A person at the command line whose tasks run where Python is."""
    return User(tmp_path, docker_host, PYTHON_IMAGE)
