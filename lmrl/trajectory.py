"""`Trajectory`, the one record: what a rollout returns, the object store carries, Parquet stores,
and the learner collates.

An episode is a list of *items*: observation, action, observation, action, ... A `Turn` is one
observation with the action that answered it. What the sampler saw at a turn, its *context*, is the
last `span` items up to and including the turn's observation, so that no context is stored twice and
every one can be rebuilt token for token (`lmrl.tokens.context`). `lmrl.schema` has the Arrow form.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmrl.tokens.context import NO_IDS as NO_IDS
from lmrl.tokens.context import Ids as Ids
from lmrl.tokens.context import Items, items_of, no_ids

Floats = NDArray[np.float32]

NO_FLOATS: Floats = np.empty(0, np.float32)

NO_SEED = -1
"""The seed of an episode that was played elsewhere; see `Trajectory.imported`."""
IMPORTED = "imported"
"""The fact that names the file which an episode was imported from."""

EXECUTED = "executed"
"""The fact that is False if the task did not apply the last action."""

PLAYED = "task"
"""The fact that names the task of an episode in a run with several tasks."""

LAST_TEXT = "last_text"
"""The fact that holds the text of the last step."""

INFO_KEYS = {
    "success": "whether the task calls the episode a success",
    EXECUTED: "false if the last action was not applied: no policy learns from it",
    PLAYED: "task of the episode, in a run with several tasks",
    LAST_TEXT: "text of the last step; `final` differs from it where a limit cut the episode",
    "oracle": "name of whoever answered for the task",
    "oracle_version": "version of the same",
    "oracle_malformed": "number of replies of the oracle that could not be read",
    IMPORTED: "file that the episode was imported from",
    "side": "side of the person in an episode of a human study",
    "seconds": "seconds that the person took for each answer",
    "refused": "number of inputs refused before each answer of the person",
    "rating": "the person's rating of the episode, 1 to 5",
}
"""The keys of `Trajectory.info` that code outside a task reads or writes, with their meaning.

A task adds facts of its own beside them (`word`, `answer`, `position`); all values are JSON values.
"""

TERMINATED = "terminated"
TRUNCATED = "truncated"


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """One observation and the action that answered it.

    Attributes:
        observation: the new text.
        observation_ids: its tokens `[C]`; empty in data that no model has read yet.
        span: number of the newest items in the context, this observation included.
        action: the text that the task was given.
        action_ids: the sampled tokens `[A]` themselves, never tokenised again.
        logprobs: the sampler's log-probabilities of them `[A]`, in nats.
        versions: the weight version that sampled each of them `[A]`.
        reward: reward for the action.
        lead: number of tokens of `observation_ids` that close the previous action and open the next
            message; a context that begins with this observation leaves them out.
        cut: whether the token limit ended the action.
        malformed: whether the policy's reply held no action, so that the task got an empty one.
    """

    observation: str
    observation_ids: Ids
    span: int
    action: str
    action_ids: Ids
    logprobs: Floats
    versions: Ids
    reward: float
    lead: int = 0
    cut: bool = False
    malformed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """One episode.

    Attributes:
        task: name of the task; with `options` and `seed` it replays the episode exactly.
        options: options of the task, JSON values only.
        seed: seed that was given to `reset`; `NO_SEED` if the episode was imported.
        turns: turns in order.
        ending: `terminated`, or `truncated` (a learner bootstraps from the final context).
        final: observation after the last action. Where a limit cut the episode it is the
            observation of the state in which that happened.
        final_ids: its tokens; empty in data that no model has read yet.
        final_span: number of the newest items in the final context, `final` included.
        player: name of the policy that acted, for example `optimal`, or of a checkpoint.
        tokenizer: fingerprint of the tokenizer that made the ids; empty where there are none.
        info: facts of the last step, JSON values only; `INFO_KEYS` has the known keys.
        final_lead: number of tokens of `final_ids` like `Turn.lead`.
        opening: tokens before the first item of a context that begins with an observation `[O]`, in
            a chat the system message.
        resuming: the same for a context that begins with an action `[O']`.
    """

    task: str
    options: dict[str, Any]
    seed: int
    turns: tuple[Turn, ...]
    ending: str
    final: str
    final_ids: Ids
    final_span: int
    player: str = ""
    tokenizer: str = ""
    info: dict[str, Any] = field(default_factory=dict)
    final_lead: int = 0
    opening: Ids = field(default_factory=no_ids)
    resuming: Ids = field(default_factory=no_ids)

    @property
    def imported(self) -> str:
        """The file that the episode was imported from: it has no seed. Empty for any other."""
        return str(self.info.get(IMPORTED, "")) if self.seed == NO_SEED else ""

    @property
    def total_reward(self) -> float:
        """The undiscounted sum of rewards: the benchmark's score of an episode."""
        return float(sum(turn.reward for turn in self.turns))

    @property
    def action_tokens(self) -> int:
        """Number of tokens that the policy sampled."""
        return sum(len(turn.action_ids) for turn in self.turns)

    @property
    def tokens(self) -> int:
        """Number of tokens of the episode, each counted once."""
        seen = len(self.opening) + sum(len(t.observation_ids) for t in self.turns)
        return self.action_tokens + seen

    @property
    def oldest_version(self) -> int:
        """The oldest weight version that sampled a token of this episode; -1 if none did."""
        return min((int(t.versions.min()) for t in self.turns if len(t.versions)), default=-1)

    def executed(self) -> "Trajectory":
        """Return the episode as a learner sees it: without a last action that was not applied.

        Where a task says so (`executed` in its info), reward and next state do not depend on that
        action. The episode is then cut in the state in which the action was chosen.
        """
        if self.info.get(EXECUTED, True):
            return self
        last = self.turns[-1]
        return replace(
            self,
            turns=self.turns[:-1],
            ending=TRUNCATED,
            final=last.observation,
            final_ids=last.observation_ids,
            final_span=last.span,
            final_lead=last.lead,
        )

    def items(self) -> Items:
        """Return the tokens of every item in order, `final` last."""
        return items_of(
            [(t.observation_ids, t.lead) for t in self.turns] + [(self.final_ids, self.final_lead)],
            [turn.action_ids for turn in self.turns],
            self.opening,
            self.resuming,
        )

    def contexts(self) -> Iterator[Ids]:
        """Yield the context of each turn, then the final context."""
        items = self.items()
        spans = [turn.span for turn in self.turns] + [self.final_span]
        for index, span in enumerate(spans):
            yield items.context(2 * index + 1, span)


def is_json(value: Any) -> bool:
    """Return whether a value can be stored as JSON and read back as it is."""
    if value is None or isinstance(value, bool | int | float | str):
        return True
    if isinstance(value, list):
        return all(map(is_json, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_json(entry) for key, entry in value.items())
    return False


def transcript(trajectory: Trajectory) -> str:
    """Return an episode as text for a reader: rewards and ending beside what was said."""
    origin = f"from {trajectory.imported}" if trajectory.imported else f"seed {trajectory.seed}"
    lines = [
        f"{trajectory.task}  {origin}  player {trajectory.player or 'unknown'}  "
        f"return {trajectory.total_reward:g}  {len(trajectory.turns)} turns  {trajectory.ending}"
    ]
    for number, turn in enumerate(trajectory.turns, 1):
        lines.append(f"[{number}] {printable(turn.observation)}")
        lines.append(f"      > {printable(turn.action)}   ({turn.reward:+g})")
    lines.append(f"[end] {printable(trajectory.final)}")
    return "\n".join(lines)


def printable(text: str) -> str:
    """Return `text` on one line without control characters that could drive a terminal."""
    text = text.removesuffix("\n").replace("\n", " / ")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
