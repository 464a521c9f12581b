"""The ranks' process group: how to join it, sums and maxima over it, and how episodes are dealt."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


class TorchProcessGroup:
    """The other ranks, through torch.distributed."""

    def __init__(self, rank: int, world: int, device: str) -> None:
        self.rank, self.world, self.device = rank, world, device

    def total(self, *values: float) -> list[float]:
        """Return the sums of `values` over all ranks."""
        return self._reduce(values, torch.distributed.ReduceOp.SUM)

    def largest(self, *values: float) -> list[float]:
        """Return the maxima of `values` over all ranks."""
        return self._reduce(values, torch.distributed.ReduceOp.MAX)

    def each(self, value: Any) -> list[Any]:
        """Return the values of all ranks, in order of the ranks.

        A checkpoint's state is written by rank 0, so what differs by rank has to be gathered.
        """
        found = [value] * self.world
        if self.world > 1:
            torch.distributed.all_gather_object(found, value)
        return found

    def _reduce(self, values: tuple[float, ...], how: Any) -> list[float]:
        if self.world == 1:
            return [float(v) for v in values]
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(tensor, op=how)
        return [float(v) for v in tensor.tolist()]


def shares(lengths: NDArray[np.integer], world: int) -> list[list[int]]:
    """Deal episodes to ranks so that their loads are alike: longest first, to the least loaded.

    Args:
        lengths: a cost of each episode.
        world: number of ranks.

    Returns:
        The indices of each rank, ascending.
    """
    loads = [0] * world
    dealt: list[list[int]] = [[] for _ in range(world)]
    for index in np.argsort(-np.asarray(lengths, np.int64), kind="stable"):
        rank = loads.index(min(loads))
        dealt[rank].append(int(index))
        loads[rank] += int(lengths[index])
    return [sorted(part) for part in dealt]


def join_group(rank: int, world: int, address: str, port: int, device: str, seconds: float) -> None:
    """Join the process group of the learner ranks.

    Args:
        rank: of this process.
        world: number of ranks.
        address, port: of rank 0.
        device: `cpu` (gloo) or `cuda` (NCCL).
        seconds: deadline of every collective.
    """
    # DeepSpeed looks these up; where one is missing it tries MPI and fails with another message.
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK="0",
        WORLD_SIZE=str(world),
        LOCAL_SIZE=str(world),
        MASTER_ADDR=address,
        MASTER_PORT=str(port),
    )
    import deepspeed

    deepspeed.init_distributed(
        dist_backend="gloo" if device == "cpu" else "nccl",
        timeout=timedelta(seconds=seconds),
        verbose=False,
    )
    if device == "cpu":
        # DeepSpeed gives every rank of a machine a shared buffer of 69 MB and never removes it:
        # each run would cost memory until the next boot. Once all ranks have it open, its name is
        # not needed any more, and what is mapped goes with the last process, however that ends.
        torch.distributed.barrier()
        name = f"deepspeed_allreduce_buffer_{os.getuid()}_{address}_{port}_{rank}"
        Path("/dev/shm", name).unlink(missing_ok=True)
