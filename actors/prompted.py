"""Instruct models as players: the few-shot prompting baseline, for any task.

The prompt is a chat. The system message has the task's rules and the form of an action
(`TextEnv.instructions`). Example episodes follow, then the running episode. Observations are the
user's messages, actions are the assistant's. Of the running episode the prompt has the items that a
policy gets: the last `Episode.span` ones. If the prompt exceeds the model's context, the oldest
examples are left out first, then the oldest items, as far as the task's rule allows.

The published baseline sent GPT-4 one message per turn (arXiv 2311.18232, section 5). Here the turns
of an episode are the turns of the chat, so that a server can cache the prefix.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Any

from actors.chat.config import Message
from actors.chat.model import RetryingChatModel
from lmrl.data.store import load
from lmrl.env import TextEnv
from lmrl.episode import ContextTooLong, Episode, play
from lmrl.errors import DataError
from lmrl.seeds import request_seed
from lmrl.tasks import make
from lmrl.tokens.format import LEFT_OUT, FormatConfig, rules
from lmrl.tokens.replies import NOTHING, read_action
from lmrl.trajectory import Trajectory

NEW_EPISODE = "A new episode begins."

SHOT_TURNS = 8
"""Largest number of turns of an example in tasks whose policy gets a window of the episode. In such
tasks every turn is an example."""

SEED = 7
"""Run seed for sampling, the same as `lmrl evaluate` uses for checkpoints."""


def examples(
    task: str,
    options: Mapping[str, Any],
    wanted: int,
    data: Path | None = None,
    scored: range = range(0),
) -> list[Trajectory]:
    """Return example episodes of a task.

    Args:
        task: name of the task.
        options: options of the task.
        wanted: number of examples.
        data: path of a data set, whose first episodes of the task are taken; None lets the task's
            `optimal` player play.
        scored: seeds that are scored and therefore not used for examples.

    Raises:
        DataError: if the path is not a data set, or it has too few episodes of the task.
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
        model: model that replies.
        shots: example episodes. If they do not all fit, the first ones are left out.
    """

    def __init__(self, model: RetryingChatModel, shots: Sequence[Trajectory] = ()) -> None:
        self.model, self.shots = model, shots

    def play(
        self, env: TextEnv, seed: int, task: str = "", options: Mapping[str, Any] | None = None
    ) -> Trajectory:
        """Return one episode. Replies without an action are malformed turns.

        For such a reply the task gets an empty action, which its rules treat as illegal.

        Args:
            env: task to play.
            seed: seed of the episode.
            task: name of the task, for the record.
            options: options of the task, for the record.

        Raises:
            ContextTooLong: if an observation does not fit the model's context.
            ReplyTimeout: if the model does not answer.
        """
        episode = Episode(env, seed, name=task, options=options)
        shots = [_items(shot, env) for shot in self.shots]
        while not episode.done:
            chat = self._fitting(env, shots, episode)
            action = read_action(
                self.model.reply(chat, request_seed(SEED, episode.seed, len(episode.turns)))
            )
            text = action.partition(env.stop)[0]
            episode.act(text + env.stop, malformed=not text)
        played = episode.trajectory(self.model.name)
        facts = {
            "model": self.model.name,
            "model_version": self.model.version,
            "shots": len(self.shots),
        }
        return replace(played, info={**played.info, **facts})

    def _fitting(
        self, env: TextEnv, shots: Sequence[Sequence[str]], episode: Episode
    ) -> list[Message]:
        """Return the longest prompt that fits, and set the episode's span to its items."""
        limit = self.model.config.context - self.model.config.max_tokens
        items = [text for turn in episode.turns for text in (turn.observation, turn.action)]
        items.append(episode.observation)
        left = list(shots)
        while True:
            chat = conversation(env, left, items[-episode.span :])
            if self.model.size(chat) <= limit:
                return chat
            if left:
                left.pop(0)
            elif episode.span > 1:
                # The remaining items begin with an observation.
                episode.span -= 2 if episode.span % 2 else 1
            else:
                raise ContextTooLong(
                    f"the instructions and one observation have {self.model.size(chat)} tokens and "
                    f"do not fit the context of {self.model.name}, {limit} tokens without the "
                    f"{self.model.config.max_tokens} of an action; give a longer one with --context"
                )


def _items(shot: Trajectory, env: TextEnv) -> list[str]:
    """Return the texts of an example; the last one is an observation."""
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
        env: task that is played.
        shots: texts of each example episode, whose first and last text are observations.
        items: texts of the running episode that the policy gets; the last one is an observation.
    """
    system = rules(env.instructions, FormatConfig())
    chat: list[dict[str, str]] = [{"role": "system", "content": system}]
    for texts in [*shots, items]:
        begin = [NEW_EPISODE] if shots else []
        first_is_action = len(texts) % 2 == 0
        if first_is_action:
            begin.append(LEFT_OUT)
        for line in begin:
            _append(chat, "user", line)
        for number, text in enumerate(texts):
            role = "assistant" if (number % 2 == 0) is first_is_action else "user"
            _append(chat, role, text.strip() or NOTHING)
    return list(chat)


def _append(chat: list[dict[str, str]], role: str, text: str) -> None:
    """Add a text to a chat. Roles have to alternate, so equal roles share a message."""
    if chat[-1]["role"] == role:
        chat[-1]["content"] += "\n" + text
    else:
        chat.append({"role": role, "content": text})
