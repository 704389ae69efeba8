"""The boot images on offer; all invented but for the system, which the contract's section 5 names."""

from __future__ import annotations

from attrs import frozen

from flow_providers.mock.world import World, wire_id


@frozen(kw_only=True)
class Image:
    """A version of what nodes boot."""

    id: str
    name: str
    kernel: str
    is_stable: bool = False
    driver: str | None = None
    cuda: str | None = None
    os: str = "Ubuntu 22.04"


def images(world: World) -> list[Image]:
    """Return the images for nodes with GPUs, the default one first."""
    seed = world.meta.seed
    return [
        Image(
            id=wire_id("imgver", seed, -10),
            name="ubuntu-22.04-cuda-12.2",
            kernel="5.15.0",
            is_stable=True,
            driver="535",
            cuda="12.2",
        ),
        Image(
            id=wire_id("imgver", seed, -11),
            name="ubuntu-22.04-cuda-12.8",
            kernel="6.8.0",
            driver="570",
            cuda="12.8",
        ),
    ]


def control_plane_images(world: World) -> list[Image]:
    """Return the images without GPU drivers, for clusters' control planes."""
    return [
        Image(
            id=wire_id("imgver", world.meta.seed, -12),
            name="ubuntu-22.04-mcc",
            kernel="5.15.0",
            is_stable=True,
        )
    ]
