"""Export episodes: the published forms, and messages as other libraries load them."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lmrl.errors import DataError, UsageError
from lmrl.tasks import make
from lmrl.trajectory import TERMINATED, Trajectory

Row = Any
FORMS = ("chat", "published")
"""Forms of the exported rows."""


def _texts(episode: Trajectory) -> list[str]:
    found = [text for turn in episode.turns for text in (turn.observation, turn.action)]
    return [*found, episode.final] if episode.final else found


def _states(episode: Trajectory) -> Row:
    last = len(episode.turns) - 1
    done = episode.ending == TERMINATED
    return [
        {
            "state": turn.observation,
            "action": turn.action,
            "reward": turn.reward,
            "done": done and number == last,
        }
        for number, turn in enumerate(episode.turns)
    ]


def _per_text(episode: Trajectory) -> Row:
    texts = _texts(episode)
    rewards = [value for turn in episode.turns for value in (0.0, turn.reward)]
    rewards += [0.0] * (len(texts) - len(rewards))
    dones = [False] * len(texts)
    dones[2 * len(episode.turns) - 1] = episode.ending == TERMINATED
    return {"text_history": texts, "rewards": rewards, "dones": dones}


def _per_command(episode: Trajectory) -> Row:
    dones = [False] * (len(episode.turns) - 1) + [episode.ending == TERMINATED]
    rewards = [turn.reward for turn in episode.turns]
    return {"text_history": _texts(episode), "rewards": rewards, "dones": dones}


def _sequence(episode: Trajectory) -> Row:
    texts = _texts(episode)
    rewards = [value for turn in episode.turns for value in (turn.reward, 0.0)]
    return {
        "sequence": [[text, float(number % 2)] for number, text in enumerate(texts)],
        "reward": rewards[: len(texts) - 1],
        "done": episode.ending == TERMINATED,
    }


def _conversation(episode: Trajectory) -> Row:
    said = _texts(episode)[1:]
    pairs = zip(said[::2], said[1::2], strict=False)
    lines = []
    for question, answer in pairs:
        asked = " ".join(question.split()).rstrip("?.! ") + "?"
        lines.append(f"{asked} {answer.strip()}")
    correct = episode.turns[-1].reward == 0
    word = episode.info.get("word")
    return {"lines": lines, "correct": correct, **({} if word is None else {"word": word})}


def _talk(episode: Trajectory) -> Row:
    texts = _texts(episode)[1:]
    lines = [
        {"role": "Buyer" if number % 2 else "Seller", "text": text.removesuffix("\n")}
        for number, text in enumerate(texts)
    ]
    row = {"buyer_info": episode.info.get("buyer_info") or _profile(episode), "lines": lines}
    if "output" in episode.info:
        row["output"] = episode.info["output"]
    elif "msrp" in episode.info:
        row["output"] = {
            "car_bought": bool(episode.info["success"]),
            "msrp": episode.info["msrp"],
            "buy_price": episode.info["price"] if episode.info["success"] else None,
        }
    return row


def _profile(episode: Trajectory) -> Row:
    """Return the buyer of an episode that was played here: it follows from the seed."""
    options = dict(episode.options)
    start = options.pop("start", None)
    env: Any = make(episode.task, **options)
    env.reset(seed=episode.seed, options=start)
    profile = getattr(env, "env", env).state.profile
    names = ("personality", "preferred_brands", "preferred_features", "preferred_type", "budget")
    return {
        name: list(value) if isinstance(value := getattr(profile, name), tuple) else value
        for name in names
    }


PUBLISHED: dict[str, Callable[[Trajectory], Row]] = {
    "car-dealer": _talk,
    "chess": _states,
    "endgames": _states,
    "guess-my-city": _conversation,
    "maze-fo": _states,
    "maze-po": _per_text,
    "text-nav-fo": _per_command,
    "text-nav-po": _per_command,
    "twenty-questions": _conversation,
    "wordle": _sequence,
}
"""Rows of the published forms, by task; `lmrl data import` reads them."""


def as_chat(episode: Trajectory) -> Row:
    """Return an episode as messages: the rules, then observations and actions in turn.

    `rewards` has one for each action. `exact` says that observations are to be read as they are.
    """
    options = {name: value for name, value in episode.options.items() if name != "start"}
    env = make(episode.task, **options)
    rules = env.instructions_of(episode.info)
    messages: list[dict[str, Any]] = [{"role": "system", "content": rules}] if rules else []
    for turn in episode.turns:
        messages.append({"role": "user", "content": turn.observation})
        messages.append({"role": "assistant", "content": turn.action.removesuffix(env.stop)})
    if episode.final:
        messages.append({"role": "user", "content": episode.final})
    return {
        "messages": messages,
        "rewards": [turn.reward for turn in episode.turns],
        "return": episode.total_reward,
        "ending": episode.ending,
        "exact": True,
        "task": episode.task,
        "options": options,
        "seed": episode.seed,
        "player": episode.player,
        "info": episode.info,
    }


def exported(episodes: Iterable[Trajectory], form: str) -> Iterator[str]:
    """Yield a line of JSON for every episode.

    Args:
        episodes: episodes to export.
        form: `chat`, or `published` for the form of the task's published files.

    Raises:
        UsageError: for another form, or a task without published files.
        DataError: for an episode without an action.
    """
    if form not in FORMS:
        raise UsageError(f"--form is {form!r}; give one of {', '.join(FORMS)}")
    for number, episode in enumerate(episodes):
        if not episode.turns:
            raise DataError(f"episode {number} has no action; there is nothing to export")
        if form == "published" and episode.task not in PUBLISHED:
            raise UsageError(
                f"episode {number} is of {episode.task}, which has no published files; "
                "give --form chat"
            )
        write = as_chat if form == "chat" else PUBLISHED[episode.task]
        yield json.dumps(write(episode), ensure_ascii=False)
