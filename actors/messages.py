"""Messages to samplers and simulators, and their results."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lmrl.episode import Reply
from lmrl.trajectory import Ids


class SamplerStale(RuntimeError):
    """The sampler has no complete version of the weights; it needs a push first."""


class EngineFailed(RuntimeError):
    """The engine raised an error in a step. Its process ends and restarts without weights."""


@dataclass(frozen=True)
class Decoding:
    """Settings of the sampling of actions.

    Attributes:
        max_tokens: largest number of tokens of an action. A longer action is cut there, and the
            task gets it so.
        temperature: sampling temperature; 0 is greedy. Training samples at 1, where sampler and
            learner have the same distribution.
        top_p, top_k: parameters of nucleus and top-k sampling; 1 and 0 switch them off.
        seed: seed of the run. With an episode's seed, its number among the episodes of that seed,
            and the turn it gives each request's seed, so that samples do not depend on the rest of
            the batch.
    """

    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0


class Request(NamedTuple):
    """A context for which an action is wanted.

    Attributes:
        key: number by which the caller identifies the reply.
        context: token ids `[C]`.
        seed: seed of the sampling.
    """

    key: int
    context: Ids
    seed: int


class EpisodeId(NamedTuple):
    """What an episode of a job is known by.

    Attributes:
        seed: seed of the task. Episodes with the same seed begin in the same state.
        member: number of the episode among those with the same seed; it changes the sampling seeds.
    """

    seed: int
    member: int = 0


class Failure(NamedTuple):
    """An episode that ended with an error of the task or of its context.

    Attributes:
        seed: seed of the episode.
        member: number of the episode among those of the job with the same seed.
        error: type and message of the error.
        trace: traceback.
    """

    seed: int
    member: int
    error: str
    trace: str

    @property
    def episode(self) -> EpisodeId:
        """The episode that failed."""
        return EpisodeId(self.seed, self.member)


class Finished(NamedTuple):
    """Finished episodes that a simulator sends.

    Attributes:
        table: episodes as an Arrow table.
        members: number of each episode of the table among those of the job with the same seed.
        failures: episodes that failed.
        oracle: usage of the model that answers for the task since the last batch, as the fields of
            `ChatUsage`.
    """

    table: pa.Table
    members: list[int]
    failures: list[Failure]
    oracle: Mapping[str, int]

    @property
    def episodes(self) -> list[EpisodeId]:
        """Every episode that has ended, failed ones too."""
        seeds = self.table["seed"].to_pylist()
        ended = [EpisodeId(*pair) for pair in zip(seeds, self.members, strict=True)]
        return ended + [failure.episode for failure in self.failures]


class Job(NamedTuple):
    """Episodes to play.

    Attributes:
        task: name of the task.
        options: options of the task.
        episodes: episodes to play, all different.
        decoding: sampling settings of the policy.
        player: name of a scripted player that plays instead of the policy; empty is the policy.
        label: name of the policy in `Trajectory.player`.
        at_once: largest number of episodes that run at one time; the next starts when one ends.
    """

    task: str
    options: Mapping[str, Any]
    episodes: list[EpisodeId]
    decoding: Decoding
    player: str = ""
    label: str = "policy"
    at_once: int = 256


class Contexts(NamedTuple):
    """Requests as flat arrays: keys `[n]`, seeds `[n]`, joined tokens, and lengths `[n]`."""

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
    """Replies as flat arrays: keys `[n]`, joined columns, and lengths `[n]`."""

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
