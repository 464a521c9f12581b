"""What travels to samplers and simulators, and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lmrl.rollout import Reply
from lmrl.trajectory import Ids


class SamplerStale(RuntimeError):
    """There is no complete version of the weights: push first, then ask again."""


class EngineFailed(RuntimeError):
    """The engine raised within a step; its process ends, and starts again without weights."""


@dataclass(frozen=True)
class Decoding:
    """How actions are sampled.

    Attributes:
        max_tokens: longest action; one that is cut there is still given to the task.
        temperature: 0 is greedy. Training samples at 1, where sampler and learner mean the same.
        top_p, top_k: of nucleus and top-k sampling; 1 and 0 are off.
        seed: of the run; with an episode's seed and the turn it seeds each request, so that what is
            sampled does not depend on what else is in the batch.
    """

    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0


class Request(NamedTuple):
    """A context that waits for an action: a key of the caller's, tokens `[C]`, and a seed."""

    key: int
    context: Ids
    seed: int


class Failure(NamedTuple):
    """An episode that a task or its context ended with an error."""

    seed: int
    error: str
    trace: str


class Finished(NamedTuple):
    """What a simulator sends.

    Attributes:
        table: episodes in Arrow form.
        failures: those that failed.
        oracle: what was asked of the task's model since the last batch (`ChatUsage`).
    """

    table: pa.Table
    failures: list[Failure]
    oracle: Mapping[str, int]


class Job(NamedTuple):
    """Episodes to play.

    Attributes:
        task: name.
        options: of the task.
        seeds: one episode each.
        decoding: how the policy samples.
        player: a scripted player of the task instead of the policy; empty is the policy.
        label: for `Trajectory.player`.
        at_once: most episodes that run at one time; the next starts when one ends.
    """

    task: str
    options: Mapping[str, Any]
    seeds: list[int]
    decoding: Decoding
    player: str = ""
    label: str = "policy"
    at_once: int = 256


class Contexts(NamedTuple):
    """Requests on the wire: keys `[n]`, seeds `[n]`, tokens end to end, and lengths `[n]`."""

    keys: NDArray[np.int64]
    seeds: NDArray[np.int64]
    tokens: Ids
    lengths: NDArray[np.int64]

    @classmethod
    def pack(cls, requests: list[Request]) -> "Contexts":
        """Return requests as flat arrays."""
        return cls(
            np.array([r.key for r in requests], np.int64),
            np.array([r.seed for r in requests], np.int64),
            np.concatenate([r.context for r in requests]) if requests else np.empty(0, np.int32),
            np.array([len(r.context) for r in requests], np.int64),
        )

    def unpack(self) -> list[Request]:
        """Return the requests."""
        parts = np.split(self.tokens, np.cumsum(self.lengths)[:-1]) if len(self.keys) else []
        return [
            Request(int(k), part, int(s))
            for k, part, s in zip(self.keys, parts, self.seeds, strict=True)
        ]


class Replies(NamedTuple):
    """Replies on the wire: keys `[n]`, flat columns, and lengths `[n]`."""

    keys: NDArray[np.int64]
    ids: Ids
    logprobs: NDArray[np.float32]
    versions: Ids
    lengths: NDArray[np.int64]

    @classmethod
    def pack(cls, replies: list[tuple[int, Reply]]) -> "Replies":
        """Return replies as flat arrays."""
        if not replies:
            none = np.empty(0, np.int32)
            return cls(
                none.astype(np.int64), none, none.astype(np.float32), none, none.astype(np.int64)
            )
        return cls(
            np.array([key for key, _ in replies], np.int64),
            np.concatenate([r.ids for _, r in replies]),
            np.concatenate([r.logprobs for _, r in replies]),
            np.concatenate([r.versions for _, r in replies]),
            np.array([len(r.ids) for _, r in replies], np.int64),
        )

    def unpack(self) -> list[tuple[int, Reply]]:
        """Return (key, reply) pairs."""
        ends = np.cumsum(self.lengths)
        return [
            (int(k), Reply(self.ids[a:b], self.logprobs[a:b], self.versions[a:b]))
            for k, a, b in zip(self.keys, ends - self.lengths, ends, strict=True)
        ]
