"""A training on several nodes that survives losing them all, or any one of them.

The end of each epoch is saved to $CHECKPOINTS/last.pt, as a whole or not at all. A run that finds a save goes on from
it, and comes to the same result, to the last digit, however often it was cut short. Told that the nodes are about to be
taken, all ranks leave together after the epoch they are in. They leave with an error: that is how Flow knows that there
is more to do.

The samples come from the file that --data names, such as one on a mounted bucket; without it they are made up.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.functional import mse_loss

SAMPLES, BATCH = 4096, 1024
NOTICED = []


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--epochs", type=int, default=20)
    options.add_argument(
        "--pause", type=float, default=0.3, help="seconds of rest after each epoch"
    )
    options.add_argument("--data", type=Path, help="a file of samples, as torch.save writes it")
    args = options.parse_args()

    signal.signal(signal.SIGUSR1, lambda *_: NOTICED.append(True))
    torch.set_num_threads(1)
    torch.manual_seed(7)
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    place = Path(os.environ["CHECKPOINTS"], "last.pt")

    inputs = torch.randn(SAMPLES, 2)
    if args.data is not None:
        inputs = torch.load(args.data, weights_only=True)
        print(f"rank {rank} has {len(inputs)} samples of {args.data}", flush=True)
    targets = torch.sin(inputs.sum(dim=1, keepdim=True))
    network = torch.nn.Sequential(torch.nn.Linear(2, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    began, loss = load(place, network, optimizer)
    if began and rank == 0:
        print(f"goes on after epoch {began}", flush=True)

    for epoch in range(began + 1, args.epochs + 1):
        for first in range(0, SAMPLES, BATCH):
            mine = slice(first + rank * BATCH // world, first + (rank + 1) * BATCH // world)
            optimizer.zero_grad()
            error = mse_loss(network(inputs[mine]), targets[mine])
            error.backward()
            # By hand: DistributedDataParallel adds gradients up in another order in its first step than in later
            # ones, and where that is depends on where a run began. The last digit would tell.
            for each in network.parameters():
                dist.all_reduce(each.grad)
                each.grad /= world
            optimizer.step()
        # What all ranks must agree on goes together: the loss, and whether any of them has heard of a notice.
        told = torch.tensor([error.item(), len(NOTICED)])
        dist.all_reduce(told)
        loss, leaves = told[0].item() / world, bool(told[1].item())
        if rank == 0:
            save(place, epoch, loss, network, optimizer)
            print(f"epoch {epoch} loss {loss:.6f}", flush=True)
        if leaves and epoch < args.epochs:
            print(f"rank {rank} leaves after epoch {epoch}", flush=True)
            sys.exit(1)
        time.sleep(args.pause)
    if rank == 0:
        print(f"final loss {loss.hex()}", flush=True)
    dist.destroy_process_group()


def load(
    place: Path, network: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[int, float]:
    """Put a save's weights in place and return how many epochs were done, and the last one's loss."""
    if not place.exists():
        return 0, 0.0
    kept = torch.load(place, weights_only=True)
    network.load_state_dict(kept["network"])
    optimizer.load_state_dict(kept["optimizer"])
    return kept["epoch"], kept["loss"]


def save(
    place: Path,
    epoch: int,
    loss: float,
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write a save beside the last one, then put it in its place."""
    new = place.with_suffix(".new")
    states = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save({"epoch": epoch, "loss": loss, **states}, new)
    with new.open("rb") as written:
        os.fsync(written)
    new.replace(place)


if __name__ == "__main__":
    main()
