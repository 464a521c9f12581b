"""The ranks' process group: joining it, sums and maxima over it, and each rank's episodes."""

import os
import socket
from datetime import timedelta
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray


class TorchProcessGroup:
    """Sums, maxima and values of all ranks, through torch.distributed.

    Args:
        rank: number of this process.
        world: number of ranks.
        device: `cpu` or `cuda`.
    """

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

        Rank 0 writes a checkpoint's state, so values that differ by rank have to be gathered.
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
    """Distribute episodes over ranks so that the ranks have similar loads.

    Each episode, longest first, goes to the rank with the smallest load so far.

    Args:
        lengths: cost of each episode `[episodes]`, for example its number of turns.
        world: number of ranks.

    Returns:
        Indices of each rank's episodes, ascending.
    """
    loads = [0] * world
    dealt: list[list[int]] = [[] for _ in range(world)]
    for index in np.argsort(-np.asarray(lengths, np.int64), kind="stable"):
        rank = loads.index(min(loads))
        dealt[rank].append(int(index))
        loads[rank] += int(lengths[index])
    return [sorted(part) for part in dealt]


def group_shares(
    lengths: NDArray[np.integer], groups: NDArray[np.integer], world: int
) -> list[list[int]]:
    """Distribute episodes over ranks like `shares`, with all episodes of a group on one rank.

    Args:
        lengths: cost of each episode `[episodes]`.
        groups: group of each episode `[episodes]`, numbers from 0.
        world: number of ranks.
    """
    costs = np.bincount(groups, lengths).astype(np.int64)
    return [np.flatnonzero(np.isin(groups, part)).tolist() for part in shares(costs, world)]


def join_group(rank: int, world: int, address: str, port: int, device: str, seconds: float) -> None:
    """Join the process group of the learner ranks.

    Args:
        rank: number of this process.
        world: number of ranks.
        address, port: host address and port of rank 0.
        device: `cpu` (gloo) or `cuda` (NCCL).
        seconds: time limit of every collective, in seconds.
    """
    # DeepSpeed reads these. If one is missing, it tries MPI and fails with an unrelated message.
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK="0",
        WORLD_SIZE=str(world),
        LOCAL_SIZE=str(world),
        MASTER_ADDR=address,
        MASTER_PORT=str(port),
    )
    interface = interface_to(address)
    if interface is not None:
        # Gloo would take the address of the host's name, which many systems map to 127.0.0.1.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
    import deepspeed

    # DeepSpeed would build an operator that reduces tensors in memory that all ranks share, for
    # inference only. It waits without end where ranks are on different machines, and where a
    # process was killed while it held the lock of the build.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(
        dist_backend="gloo" if device == "cpu" else "nccl",
        timeout=timedelta(seconds=seconds),
        verbose=False,
    )


def interface_to(address: str) -> str | None:
    """Return the network interface by which this machine reaches an address; None if unknown.

    Args:
        address: IP address of a host, or of this machine itself.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((address, 1))  # chooses a route, and sends nothing
        own = probe.getsockname()[0]
    for name, addresses in psutil.net_if_addrs().items():
        if own in [found.address.partition("%")[0] for found in addresses]:
            return name
    return None
