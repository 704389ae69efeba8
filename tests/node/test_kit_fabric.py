"""What NCCL is told of a node's network: only of what is there."""

from __future__ import annotations

from pathlib import Path

from flow_core.node.kit.fellows import fabric, interface_of


def an_adapter(folder: Path, name: str, *, state: str, layer: str) -> None:
    """Make an adapter as the kernel shows it."""
    port = folder / name / "ports" / "1"
    port.mkdir(parents=True)
    (port / "state").write_text(f"{state}\n")
    (port / "link_layer").write_text(f"{layer}\n")


def test_only_active_infiniband_is_named(tmp_path: Path):
    """An adapter that is down, or speaks Ethernet, is none of NCCL's."""
    an_adapter(tmp_path, "mlx5_0", state="4: ACTIVE", layer="InfiniBand")
    an_adapter(tmp_path, "mlx5_1", state="1: DOWN", layer="InfiniBand")
    an_adapter(tmp_path, "mlx5_2", state="4: ACTIVE", layer="Ethernet")
    an_adapter(tmp_path, "mlx5_3", state="4: ACTIVE", layer="InfiniBand")

    assert {"NCCL_IB_HCA": "=mlx5_0,mlx5_3"} == fabric("", str(tmp_path))


def test_a_node_without_such_hardware_says_nothing(tmp_path: Path):
    """No adapter, and an address that no interface has: no variable."""
    assert {} == fabric("192.0.2.1", str(tmp_path / "none"))


def test_the_interface_is_the_one_with_the_address(tmp_path: Path):
    """Loopback has 127.0.0.1, and isn't what NCCL is pointed to."""
    assert "lo" == interface_of("127.0.0.1")
    assert {} == fabric("127.0.0.1", str(tmp_path))
