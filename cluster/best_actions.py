"""The best of several sampled actions in states of a data set, for best-of-N distillation.

The samplers, which hold the start policy, sample the candidates, and the learners' critic values
them. `learners.algorithms.offline.best_of_n` has the rule of the choice.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import ray

from actors.messages import Contexts, Decoding, Request
from cluster.fleet import Fleet
from cluster.health.waits import answers_of
from learners.algorithms.offline.best_of_n import BestOfN, best_candidates
from lmrl.episode import Reply
from lmrl.errors import DataError, RunError, UsageError
from lmrl.interrupt import check_stop
from lmrl.schema import to_table
from lmrl.seeds import decoding_seed, request_seed
from lmrl.tasks import make
from lmrl.tokens.codec import Codec
from lmrl.trajectory import NO_IDS, TERMINATED, Ids, Trajectory, Turn

CHUNK = 64
"""Number of states whose candidates are sampled and valued at one time."""

CLIENT = "best_actions"
"""Name under which samplers keep the replies."""


class State(NamedTuple):
    """A state of a data set.

    Attributes:
        episode: its episode.
        text: newest observation.
        context: tokens that the policy sees `[C]`.
    """

    episode: Trajectory
    text: str
    context: Ids


def states_of(episodes: Iterable[Trajectory], codec: Codec, limit: int) -> Iterator[State]:
    """Yield the state of each turn of some episodes.

    Args:
        episodes: episodes of a data set.
        codec: codec of the policy.
        limit: largest number of tokens of a context; older items are left out.

    Raises:
        DataError: if an observation alone exceeds the limit.
    """
    for episode in episodes:
        read = codec.read(episode).executed()
        items = read.items()
        for index, turn in enumerate(read.turns):
            end = 2 * index + 1
            span = items.fitting(end, turn.span, limit)
            if span == 0:
                raise DataError(
                    f"an observation of {len(items.context(end, 1))} tokens in task {read.task}, "
                    f"seed {read.seed}, exceeds the context of {limit}; give the model a longer "
                    "one (model.context)"
                )
            yield State(read, turn.observation, items.context(end, span))


def best_actions(fleet: Fleet, episodes: Iterable[Trajectory]) -> Iterator[Trajectory]:
    """Yield a record for each state whose best candidate is cloned: one turn, with that action.

    Its context is the turn's observation. `info` has the action's `q` and, if the algorithm uses
    it, the state's `value`, in reward units.

    Args:
        fleet: actors of the run; the samplers hold the start policy.
        episodes: episodes of the data set, as many as needed are read.

    Raises:
        UsageError: if no action is cloned in any state.
        RunError: if a sampler fails or does not answer.
    """
    exp, learners = fleet.experiment, fleet.learners
    algorithm = exp.algorithm
    assert isinstance(algorithm, BestOfN)
    assert learners is not None
    codec = Codec.load(learners.checkpoint, exp.format)
    stop = make(exp.task, **exp.options).stop
    decoding = Decoding(max_tokens=exp.format.reply_tokens, seed=decoding_seed(exp.seed, 0))
    states = islice(states_of(episodes, codec, exp.max_context), algorithm.states)
    seen = kept = 0
    with fleet.screen.stage(CLIENT, "best actions", total=algorithm.states) as stage:
        while chunk := list(islice(states, CHUNK)):
            requests = _requests(chunk, algorithm.candidates, seen, decoding)
            replies = sampled(fleet, requests, decoding)
            records = [
                candidates_of(state, replies[index :: len(chunk)], codec, stop)
                for index, state in enumerate(chunk)
            ]
            for best in best_of(
                records, learners.inspect(to_table(records)), algorithm.above_value
            ):
                kept += 1
                yield best
            seen += len(chunk)
            fleet.screen.advance(stage, seen)
    if not kept:
        raise UsageError(
            f"no sampled action of {seen} states has a Q above V; set algorithm.above_value false, "
            "or raise algorithm.candidates"
        )


def _requests(
    states: Sequence[State], candidates: int, before: int, decoding: Decoding
) -> list[Request]:
    """Return a request for each candidate: the first one of every state, then the second one.

    Args:
        states: states.
        candidates: number of candidates of each.
        before: number of states before these.
        decoding: settings of the sampling.
    """
    return [
        Request(
            member * len(states) + index,
            state.context,
            request_seed(decoding.seed, before + index, 0, member),
        )
        for member in range(candidates)
        for index, state in enumerate(states)
    ]


def sampled(fleet: Fleet, requests: Sequence[Request], decoding: Decoding) -> list[Reply]:
    """Return the reply to each request, which the samplers share.

    Args:
        fleet: actors of the run.
        requests: requests with the keys 0, 1, 2, …
        decoding: settings of the sampling.

    Raises:
        RunError: if a sampler fails or does not answer in time.
    """
    patience = fleet.experiment.simulator.reply_timeout
    found: dict[int, Reply] = {}
    for_each = np.array_split(np.arange(len(requests)), len(fleet.samplers))
    left = {index: len(part) for index, part in enumerate(for_each) if len(part)}
    calls = {
        fleet.samplers[index].generate.remote(
            CLIENT, Contexts.pack([requests[key] for key in for_each[index]]), decoding
        ): index
        for index in left
    }
    while calls:
        check_stop()
        ready, _ = ray.wait(list(calls), num_returns=1, timeout=patience)
        if not ready:
            raise RunError(
                f"no sampler answered within {patience:g} s; raise simulator.reply_timeout"
            )
        index = calls.pop(ready[0])
        with answers_of(f"sampler {index}"):
            replies = ray.get(ready[0]).unpack()
        found.update(replies)
        left[index] -= len(replies)
        if left[index]:
            again = fleet.samplers[index].generate.remote(CLIENT, Contexts.pack([]), decoding)
            calls[again] = index
    return [found[key] for key in range(len(requests))]


def candidates_of(state: State, replies: Sequence[Reply], codec: Codec, stop: str) -> Trajectory:
    """Return a record with one turn for each reply, all of them in the same state.

    Args:
        state: state.
        replies: replies that were sampled there.
        codec: codec of the policy.
        stop: text that ends an action.
    """
    turns = []
    for reply in replies:
        action = codec.format.read(reply.ids, stop)
        kept = slice(action.tokens)
        turns.append(
            Turn(
                state.text,
                state.context,
                1,
                action.text + stop,
                reply.ids[kept],
                reply.logprobs[kept],
                reply.versions[kept],
                0.0,
                cut=action.cut,
                malformed=action.malformed,
            )
        )
    episode = state.episode
    return Trajectory(
        episode.task,
        episode.options,
        episode.seed,
        tuple(turns),
        TERMINATED,
        "",
        NO_IDS,
        1,
        BestOfN.name,
        codec.fingerprint,
    )


def best_of(
    records: Sequence[Trajectory], values: pa.Table, above_value: bool
) -> Iterator[Trajectory]:
    """Yield each record with its best turn only; nothing where none is cloned.

    Args:
        records: records with all candidates, equally many in each.
        values: their `q` and `value` for each action token, from `Learner.inspect`.
        above_value: whether Q has to exceed V.
    """
    lasts = [np.cumsum([len(turn.action_ids) for turn in r.turns]) - 1 for r in records]
    columns = (values["q"].to_pylist(), values["value"].to_pylist())
    q = np.array([np.array(row)[last] for row, last in zip(columns[0], lasts, strict=True)])
    value = np.array([row[0] for row in columns[1]])
    allowed = np.array([[not (t.cut or t.malformed) for t in r.turns] for r in records])
    chosen = best_candidates(q, allowed, value if above_value else None)
    for index, (record, best) in enumerate(zip(records, chosen.tolist(), strict=True)):
        if best >= 0:
            facts = {"q": float(q[index, best])}
            if above_value:
                facts["value"] = float(value[index])
            yield replace(record, turns=(record.turns[best],), info=facts)
