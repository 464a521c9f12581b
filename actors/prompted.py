"""Instruct models as players: the few-shot prompting baseline, for any task.

The prompt is a chat. The system message has the task's rules and the form of an action
(`TextEnv.instructions`); example episodes follow, then the running one, observations as the user's
messages and actions as the assistant's. Of the running episode the model sees what a policy sees:
`Episode.span` items. What does not fit the model's context is left out: the oldest examples first,
then the oldest items as the task's rule allows.

The published baseline asked GPT-4 in one message a turn (arXiv 2311.18232, section 5); here the
turns of an episode are the turns of the chat, so that a server can keep what it has read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Any

from actors.chat.config import Message
from actors.chat.model import RetryingChatModel
from actors.chat.replies import NOTHING, read_action
from lmrl.data.store import load
from lmrl.env import TextEnv
from lmrl.errors import DataError
from lmrl.rollout import ContextTooLong, Episode, play
from lmrl.seeds import request_seed
from lmrl.tasks import make
from lmrl.trajectory import Trajectory

FORM = (
    "Each of your messages is the next action alone: one line, without an explanation, without "
    "quotation marks, and with nothing before or after it."
)
NEW_EPISODE = "A new episode begins."
LEFT_OUT = "(Earlier messages are left out.)"

SHOT_TURNS = 8
"""Turns of an example where the policy sees a window of the episode only: each is an example."""

SEED = 7
"""Of the sampling seeds, as `lmrl evaluate` has it for checkpoints."""


def examples(
    task: str,
    options: Mapping[str, Any],
    wanted: int,
    data: Path | None = None,
    scored: range = range(0),
) -> list[Trajectory]:
    """Return example episodes of a task.

    Args:
        task: name.
        options: of the task.
        wanted: how many.
        data: a data set, whose first episodes of the task are taken; None lets the task's
            `optimal` player play.
        scored: seeds that are scored, and so are no examples.

    Raises:
        DataError: if the data set is none, or has fewer episodes of the task.
    """
    if data is None:
        env = make(task, **options)
        seeds = (seed for seed in count() if seed not in scored)
        return [play(env, "optimal", seed, task, options) for seed in islice(seeds, wanted)]
    found = list(islice((t for t in load(data) if t.task == task), wanted))
    if len(found) < wanted:
        raise DataError(f"{data} has {len(found)} episodes of {task}, and --shots asks {wanted}")
    return found


class Prompted:
    """An instruct model that plays.

    Args:
        model: that is asked.
        shots: example episodes, the first of them the first to be left out.
    """

    def __init__(self, model: RetryingChatModel, shots: Sequence[Trajectory] = ()) -> None:
        self.model, self.shots = model, shots

    def play(
        self, env: TextEnv, seed: int, task: str = "", options: Mapping[str, Any] | None = None
    ) -> Trajectory:
        """Return one episode; `info["malformed"]` counts replies in which there was no action.

        Such a reply is given to the task as an empty action, which its rules call illegal.

        Raises:
            ContextTooLong: if an observation does not fit the model's context.
            ReplyTimeout: if the model does not answer.
        """
        episode = Episode(env, seed, name=task, options=options)
        shots = [_items(shot, env) for shot in self.shots]
        malformed = 0
        while not episode.done:
            chat = self._fitting(env, shots, episode)
            action = read_action(
                self.model.reply(chat, request_seed(SEED, episode.seed, len(episode.turns)))
            )
            malformed += not action
            episode.act(action.partition(env.stop)[0] + env.stop)
        played = episode.trajectory(self.model.name)
        facts = {
            "model": self.model.name,
            "model_version": self.model.version,
            "shots": len(self.shots),
            "malformed": malformed,
        }
        return replace(played, info={**played.info, **facts})

    def _fitting(
        self, env: TextEnv, shots: Sequence[Sequence[str]], episode: Episode
    ) -> list[Message]:
        """Return the longest prompt that fits, and note in the episode how much of it is seen."""
        room = self.model.config.context - self.model.config.max_tokens
        items = [text for turn in episode.turns for text in (turn.observation, turn.action)]
        items.append(episode.observation)
        left = list(shots)
        while True:
            chat = conversation(env, left, items[-episode.span :])
            if self.model.size(chat) <= room:
                return chat
            if left:
                left.pop(0)
            elif episode.span > 1:
                # What is left begins with an observation.
                episode.span -= 2 if episode.span % 2 else 1
            else:
                raise ContextTooLong(
                    f"the instructions and one observation have {self.model.size(chat)} tokens and "
                    f"do not fit the context of {self.model.name}, {room} tokens beside an action "
                    f"of {self.model.config.max_tokens}; give a longer one with --context"
                )


def _items(shot: Trajectory, env: TextEnv) -> list[str]:
    """Return the texts of an example, the last of them an observation."""
    last = str(shot.info.get("last_text", shot.final))
    observations = [*(turn.observation for turn in shot.turns), last]
    shown = len(shot.turns) if env.window is None else min(len(shot.turns), SHOT_TURNS)
    texts = [text for turn in shot.turns[:shown] for text in (turn.observation, turn.action)]
    return [*texts, observations[shown]]


def conversation(
    env: TextEnv, shots: Sequence[Sequence[str]], items: Sequence[str]
) -> list[Message]:
    """Return a prompt.

    Args:
        env: the task.
        shots: texts of example episodes, each beginning and ending with an observation.
        items: the texts that the policy sees, the last of them an observation.
    """
    rules = f"{env.instructions} {FORM}".strip()
    chat: list[dict[str, str]] = [{"role": "system", "content": rules}]
    for texts in [*shots, items]:
        begin = [NEW_EPISODE] if shots else []
        first_is_action = len(texts) % 2 == 0
        if first_is_action:
            begin.append(LEFT_OUT)
        for line in begin:
            _say(chat, "user", line)
        for number, text in enumerate(texts):
            role = "assistant" if (number % 2 == 0) is first_is_action else "user"
            _say(chat, role, text.strip() or NOTHING)
    return list(chat)


def _say(chat: list[dict[str, str]], role: str, text: str) -> None:
    """Add to a chat, in which the roles have to alternate."""
    if chat[-1]["role"] == role:
        chat[-1]["content"] += "\n" + text
    else:
        chat.append({"role": role, "content": text})
