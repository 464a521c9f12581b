"""Play episodes: `Episode` is one of them as a state machine, `rollout` plays one to its end.

The simulator actor advances thousands of `Episode`s at once, the tests and the data generator one
at a time; there is no other code that plays.
"""

import math
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from lmrl.env import Step, TextEnv
from lmrl.errors import RunError
from lmrl.seeds import player_rng
from lmrl.tokens.codec import Codec
from lmrl.tokens.context import Items
from lmrl.trajectory import (
    LAST_TEXT,
    NO_FLOATS,
    NO_IDS,
    TERMINATED,
    TRUNCATED,
    Floats,
    Ids,
    Trajectory,
    Turn,
    is_json,
)

NOT_INFO = ("replaces_history", "final_observation")
"""Fields of `Step` that must not stand in its `info`."""


class Reply(NamedTuple):
    """An action of a policy.

    Attributes:
        ids: sampled tokens `[A]`.
        logprobs: log-probabilities of the tokens `[A]`, in nats.
        versions: weight version that sampled each token `[A]`; -1 for none.
    """

    ids: Ids
    logprobs: Floats
    versions: Ids


class BadReward(RunError):
    """A task returned a reward that is not a finite number."""


class BadInfo(RunError):
    """A task reported a fact that a trajectory cannot hold."""


class ContextTooLong(RuntimeError):
    """A single observation does not fit the policy's context."""


def shown(env: TextEnv, available: int) -> int:
    """Return how many of the newest `available` items the task shows to the policy."""
    window = env.window
    if window is None or available <= window:
        return available
    # Items alternate, and a context ends with an observation: an even window would open with an
    # action.
    return window if env.window_opens_with_action or window % 2 else window - 1


class Episode:
    """One running episode.

    Args:
        env: environment of this episode alone; no other may use it while this one runs.
        seed: seed for `env.reset`.
        codec: codec between text and tokens; None for players that read text (then all ids are
            empty).
        max_context: largest number of tokens of a context. The oldest items are left out until it
            fits.
        name: name of the task, for the record.
        options: options of the task, for the record.
        start: options of this episode, given to `env.reset`.

    Raises:
        ContextTooLong: from here or from `act`, if the newest observation alone is too long.
    """

    def __init__(
        self,
        env: TextEnv,
        seed: int,
        codec: Codec | None = None,
        max_context: int = 2**31,
        name: str = "",
        options: Mapping[str, Any] | None = None,
        start: Mapping[str, Any] | None = None,
    ) -> None:
        self.env, self.seed, self.codec, self.max_context = env, seed, codec, max_context
        self.name, self.options = name, dict(options or {})
        self.texts: list[str] = []  # text of each item
        self.turns: list[Turn] = []
        self.oldest = 0  # index of the oldest item that the policy may still see
        self.ending: str | None = None
        self.info: dict[str, Any] = {}
        if start:
            self.options = {**self.options, "start": dict(start)}
        text, _ = env.reset(seed=seed, options=start)
        # The rules may be those of this episode alone.
        beginning = codec.format.beginning(env.instructions) if codec else (NO_IDS, NO_IDS)
        self.items = Items(*beginning)
        self._observe(text, replaces_history=True)

    def _observe(self, text: str, replaces_history: bool) -> None:
        if replaces_history:
            self.oldest = len(self.items)
        self.observation = text
        self.texts.append(text)
        if self.codec is None:
            self.items.add(NO_IDS)
        else:
            before = self.items.ids[-1] if len(self.items) else None
            self.items.add(*self.codec.format.observation(text, before))
        self.span = self._span()

    def _span(self) -> int:
        """Return how many of the newest items the policy sees now."""
        available = shown(self.env, len(self.items) - self.oldest)
        if self.codec is None:
            return available
        fits = self.items.fitting(len(self.items), available, self.max_context)
        if fits == 0:
            least = len(self.items.context(len(self.items), 1))
            raise ContextTooLong(
                f"an observation of {least} tokens does not fit the context of "
                f"{self.max_context}: {self.observation[:80]!r}; give the policy a longer context "
                "(model.context)"
            )
        return fits

    @property
    def done(self) -> bool:
        """Whether the episode has ended."""
        return self.ending is not None

    @property
    def context(self) -> Ids:
        """Tokens `[C]` that the policy has to answer."""
        return self.items.context(len(self.items), self.span)

    @property
    def text(self) -> str:
        """Text that the policy has to answer: what the task lets it see."""
        return "".join(self.texts[-self.span :])

    def reply(self, reply: Reply) -> None:
        """Apply the sampled tokens of an action: decode them once, and step the task."""
        assert self.codec is not None
        action = self.codec.format.read(reply.ids, self.env.stop)
        kept = slice(action.tokens)
        said = Reply(reply.ids[kept], reply.logprobs[kept], reply.versions[kept])
        # An action that a limit has cut gets the missing stop.
        self._step(action.text + self.env.stop, said, action.cut, action.malformed)

    def act(self, text: str, malformed: bool = False) -> None:
        """Step the task with an action given as text.

        Args:
            text: the action, with the task's stop text.
            malformed: whether the policy's reply had no action, see `Turn.malformed`.

        Raises:
            BadReward: if the reward is not a finite number.
            BadInfo: if a fact of the last step is not a JSON value, or a key of `info` is a field
                of `Step`.
        """
        if self.codec is None:
            self._step(text, Reply(NO_IDS, NO_FLOATS, NO_IDS), False, malformed)
            return
        ids = self.codec.format.action(text)
        said = Reply(ids, np.zeros(len(ids), np.float32), np.full(len(ids), -1, np.int32))
        self._step(text, said, False, malformed)

    def _step(self, text: str, said: Reply, cut: bool, malformed: bool) -> None:
        step = self.env.step(text)
        self._check_info(step)
        # Not what `float` accepts: a text "1" is an error of the task too.
        if not isinstance(step.reward, Real) or not math.isfinite(step.reward):
            raise BadReward(
                f"the reward of turn {len(self.turns) + 1} is {step.reward!r} (task {self.name}, "
                f"seed {self.seed}); a task has to give a finite number"
            )
        last = len(self.items) - 1
        self.turns.append(
            Turn(
                self.observation,
                self.items.ids[last],
                self.span,
                text,
                said.ids,
                said.logprobs,
                said.versions,
                float(step.reward),
                self.items.leads[last],
                cut,
                malformed,
            )
        )
        self.items.add(said.ids)
        self.texts.append(text)
        if step.truncated and step.final_observation is not None:
            # `text` announces the cut; a learner bootstraps from the state in which it happened.
            self._observe(step.final_observation, replaces_history=False)
        else:
            self._observe(step.text, step.replaces_history)
        if step.terminated or step.truncated:
            self.ending = TERMINATED if step.terminated else TRUNCATED
            self.info = {**step.info, LAST_TEXT: step.text}

    def _check_info(self, step: Step) -> None:
        """Refuse facts that would be lost: the last step's become the trajectory's `info`."""
        at = f"turn {len(self.turns) + 1} (task {self.name}, seed {self.seed})"
        for key in NOT_INFO:
            if key in step.info:
                raise BadInfo(
                    f"info of {at} has the key {key!r}, which is a field of Step; give it to "
                    "Step.going, Step.ended or Step.cut by name"
                )
        if step.terminated or step.truncated:
            for key, value in step.info.items():
                if not isinstance(key, str) or not is_json(value):
                    raise BadInfo(
                        f"info of {at} has {key!r}: {value!r}, which cannot be stored as JSON; a "
                        "task has to give JSON values (a list, not a tuple) in its last step"
                    )

    def trajectory(self, player: str = "") -> Trajectory:
        """Return the record of the finished episode."""
        assert self.ending is not None
        return Trajectory(
            task=self.name,
            options=self.options,
            seed=self.seed,
            turns=tuple(self.turns),
            ending=self.ending,
            final=self.observation,
            final_ids=self.items.ids[-1],
            final_span=self.span,
            player=player,
            tokenizer=self.codec.fingerprint if self.codec else "",
            info=self.info,
            final_lead=self.items.leads[-1],
            opening=self.items.opening,
            resuming=self.items.resuming,
        )


def rollout(episode: Episode, policy: Callable[[Ids], Reply], player: str = "") -> Trajectory:
    """Play an episode to its end with a policy that answers contexts."""
    while not episode.done:
        episode.reply(policy(episode.context))
    return episode.trajectory(player)


def play(
    env: TextEnv,
    player: str,
    seed: int,
    name: str = "",
    options: Mapping[str, Any] | None = None,
    codec: Codec | None = None,
    start: Mapping[str, Any] | None = None,
) -> Trajectory:
    """Play an episode with one of the task's scripted players.

    The player's own randomness follows from the seed too, apart from the task's. `start` are
    options of this episode, as in `Episode`.
    """
    episode = Episode(env, seed, codec, name=name, options=options, start=start)
    act = env.player(player, player_rng(player, seed))
    while not episode.done:
        episode.act(act(episode.observation))
    return episode.trajectory(player)
