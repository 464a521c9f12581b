"""Weights as buckets of bytes, in which a push sends them, with a checksum for each tensor."""

import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Meta(NamedTuple):
    """Place and format of a tensor in a bucket.

    Attributes:
        name: name of the tensor.
        dtype: name of its torch type, like `float32`.
        shape: shape of the tensor.
        offset: position of its first byte in the bucket.
        length: number of its bytes.
        checksum: CRC-32 of the bytes, computed by the learner.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int
    checksum: int


class Bucket(NamedTuple):
    """Some whole tensors as one flat array of bytes, which Ray maps without a copy."""

    metas: tuple[Meta, ...]
    data: NDArray[np.uint8]

    def checksums(self) -> dict[str, int]:
        """Return the CRC-32 of each tensor's bytes, computed again, by the tensor's name."""
        return {
            meta.name: zlib.crc32(self.data[meta.offset : meta.offset + meta.length].data)
            for meta in self.metas
        }


def pack(weights: Iterable[tuple[str, Tensor]], size: int) -> Iterator[Bucket]:
    """Yield named tensors as flat buckets.

    Args:
        weights: names and tensors.
        size: largest number of bytes of a bucket. A larger tensor gets a bucket of its own.
    """
    metas: list[Meta] = []
    parts: list[NDArray[np.uint8]] = []
    used = 0
    for name, tensor in weights:
        flat = tensor.contiguous().cpu().view(-1).view(torch.uint8).numpy().copy()
        if parts and used + len(flat) > size:
            yield Bucket(tuple(metas), np.concatenate(parts))
            metas, parts, used = [], [], 0
        kind = str(tensor.dtype).removeprefix("torch.")
        metas.append(Meta(name, kind, tuple(tensor.shape), used, len(flat), zlib.crc32(flat.data)))
        # The next tensor starts at a multiple of 16 bytes, so that it can be viewed in place.
        padding = -len(flat) % 16
        parts.append(np.concatenate([flat, np.zeros(padding, np.uint8)]))
        used += len(flat) + padding
    if parts:
        yield Bucket(tuple(metas), np.concatenate(parts))
