"""Human evaluation: a person plays one side of a task, and every finished episode is kept.

As the *agent* a person plays the task itself. As the *oracle* a person answers or negotiates, and
policies play the agent: each policy once on every seed, in an order drawn from the study's seed,
and under no name if the study is blind. Beside each such episode the same policy plays the same
seed against the task's own scripted oracle, which gives the simulator-human gap.

A study is a folder: `study.json` says what is played, `episode-NNNNN.parquet` is a finished episode
each, and `simulated/` has the episodes against the scripted oracle. Everything that a person typed
or did is in the episodes: seconds and refused inputs of each answer, and a rating, in `info`.
"""

import json
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from lmrl.data.store import load, write_table
from lmrl.env import TextEnv
from lmrl.errors import DataError, UsageError, unknown
from lmrl.rollout import ContextTooLong, Episode
from lmrl.schema import to_table
from lmrl.scoring.intervals import Interval, mean_interval, share_interval
from lmrl.scoring.score import Difference, difference
from lmrl.scoring.tables import interval
from lmrl.tasks import make
from lmrl.tasks.car_dealer.buyer import Talk, read_conversation
from lmrl.tasks.car_dealer.deals import ASK_VERDICT, Deal
from lmrl.tasks.car_dealer.environment import LONGEST_REPLY
from lmrl.tasks.car_dealer.profiles import dollars, read_profile
from lmrl.tasks.car_dealer.utterances import heard
from lmrl.tasks.guess_my_city.cities import cities
from lmrl.tasks.guess_my_city.environment import LONGEST_ANSWER
from lmrl.tasks.oracle_protocol import Oracle, one_line
from lmrl.tasks.questions.replies import NO, UNKNOWN, YES, read_prompt
from lmrl.tasks.twenty_questions import knowledge
from lmrl.trajectory import Trajectory, printable

T = TypeVar("T")
Ask = Callable[[str], str]
"""Shows a prompt and returns a line that a person typed; raises EOFError when there is no more."""
Tell = Callable[[str], None]

AGENT, ORACLE = "agent", "oracle"
SIDES = (AGENT, ORACLE)
PLAN = "study.json"
SIMULATED = "simulated"
HUMAN = "human"

CONSENT = (
    "Taking part is voluntary. What you type, how long you take and your ratings are stored in "
    "{folder}, and nothing else is. Please type no personal data, your own or anybody's. You can "
    "stop at any time with Ctrl-D; finished episodes are kept."
)
RATING = "How well did the other side do its part? 1 (badly) to 5 (very well), Enter skips: "


class Refused(ValueError):
    """What a person typed cannot be used; the message says what can."""


class Person:
    """Somebody at a terminal, timed.

    Args:
        ask: see `Ask`.
        tell: shows a line.
        clock: seconds.

    Attributes:
        seconds: from each question to its answer, since `forget`.
        refused: inputs of each answer that could not be used.
    """

    def __init__(self, ask: Ask, tell: Tell, clock: Callable[[], float] = time.monotonic) -> None:
        self.ask, self.tell, self.clock = ask, tell, clock
        self.forget()

    def forget(self) -> None:
        """Begin a new record."""
        self.seconds: list[float] = []
        self.refused: list[int] = []

    def answer(self, prompt: str, read: Callable[[str], T]) -> T:
        """Return what `read` makes of a line; ask again for a line that it refuses."""
        began = self.clock()
        refused = 0
        while True:
            try:
                found = read(self.ask(prompt))
            except Refused as error:
                self.tell(str(error))
                refused += 1
                continue
            self.seconds.append(round(self.clock() - began, 3))
            self.refused.append(refused)
            return found


# -- the person as the oracle ---------------------------------------------------------------------


class HumanOracle:
    """A person who answers for a task.

    Args:
        person: who.
    """

    name = HUMAN
    version = "1"

    def __init__(self, person: Person) -> None:
        self.person = person
        self.introduced = False

    def introduce(self, text: str) -> None:
        """Say once an episode what the person has to know."""
        if not self.introduced:
            self.person.tell(text)
            self.introduced = True


class HumanAnswerer(HumanOracle):
    """A person with an object in mind, who answers yes, no, or that it is unknown."""

    def __call__(self, prompt: str, /) -> str:
        """Return the person's answer to a prompt of Twenty Questions."""
        hidden, question = read_prompt(prompt)
        named = knowledge().wins(knowledge().by_prompt[hidden], question)
        self.introduce(
            f"You have in mind: {hidden.strip('()')}. Answer truthfully with yes, no, or ? if "
            "nobody could tell."
        )
        self.person.tell(f"They ask: {printable(question)}")
        return self.person.answer("yes, no or ? > ", lambda text: _yes_or_no(text, named))


class HumanCitizen(HumanOracle):
    """A person from a city, who answers in a sentence and does not name it."""

    def __call__(self, prompt: str, /) -> str:
        """Return the person's answer to a prompt of Guess My City."""
        hidden, question = read_prompt(prompt)
        number = cities().by_prompt[hidden]
        city = cities().cities[number]
        self.introduce(
            f"You are from {city.name}, {city.country}. Answer truthfully, in a sentence or with "
            "yes or no, and do not name the city or its country."
        )
        self.person.tell(f"They ask: {printable(question)}")
        if cities().guessed(number, question):
            return self.person.answer("your answer > ", lambda text: _yes_or_no(text, True))
        return self.person.answer("your answer > ", lambda text: _sentence(text, number))


class HumanBuyer(HumanOracle):
    """A person who buys a car, with a profile to keep to."""

    def __call__(self, prompt: str, /) -> str:
        """Return the person's utterance, or verdict, to a prompt of Car Dealer."""
        first, lines, forced = read_conversation(prompt)
        profile = read_profile(first)
        assert profile is not None  # the task writes one into every prompt
        talk = Talk(profile, patience=0)  # nothing but the prices counts here
        for line in lines[::2]:
            talk.hear_prices(heard(one_line(line)))
        self.introduce(
            f"You are a customer. {profile.line.strip()}. Keep to it, and pay what you like up to "
            "the budget. Besides talking you can type 'accept 30000' (or 'accept 30000 of 35000', "
            "with the list price) to buy, and 'reject' to leave."
        )
        if forced:
            self.person.tell("Time is up, and the seller waits for your decision.")
            deal = self.person.answer("accept or reject > ", lambda text: verdict(text, talk))
            return deal.line.removeprefix(ASK_VERDICT) + "\n"
        self.person.tell(f"The seller says: {printable(lines[-1])}")
        return self.person.answer("you say > ", lambda text: _utterance(text, talk))


_YES = frozenset(("y", "yes", "yes."))
_NO = frozenset(("n", "no", "no."))
_UNKNOWN = frozenset(("?", "i don't know", "don't know", "unknown", UNKNOWN.lower()))


def _yes_or_no(text: str, named: bool) -> str:
    """Return an answer; only yes if the question named the hidden thing."""
    word = text.strip().lower()
    if word not in _YES | _NO | _UNKNOWN:
        raise Refused("Please answer yes, no or ?.")
    if named and word not in _YES:
        raise Refused("They named what you have in mind: the answer is yes.")
    return YES if word in _YES else NO if word in _NO else UNKNOWN


def _sentence(text: str, number: int) -> str:
    said = " ".join(text.split())
    if said.lower() in _YES | _NO | _UNKNOWN:
        return _yes_or_no(said, False)
    if not 0 < len(said) <= LONGEST_ANSWER:
        raise Refused(f"Please answer with 1 to {LONGEST_ANSWER} characters.")
    if cities().masked(number, said) != said:
        raise Refused("That names the city or its country; please say it in another way.")
    return said


_ACCEPT = re.compile(r"accept(?: \$?(?P<price>[0-9][0-9,]*))?(?: of \$?(?P<list>[0-9][0-9,]*))?")


def verdict(text: str, talk: Talk) -> Deal:
    """Return the deal that a typed verdict means.

    Args:
        text: `reject`, `accept`, `accept 30000` or `accept 30000 of 35000`.
        talk: the prices that were named: of an acceptance without figures they are the last price
            asked and the list price.

    Raises:
        Refused: if it means none, or one that the buyer cannot make.
    """
    word = " ".join(text.lower().split())
    # A car without a list price is reckoned at the budget, as the scripted buyer does.
    msrp = talk.msrp or talk.profile.budget
    if word == "reject":
        return Deal(False, msrp, None)
    found = _ACCEPT.fullmatch(word)
    if found is None:
        raise Refused("Please type 'accept 30000' or 'reject'.")
    price = _dollars(found["price"]) or talk.offer
    if price is None:
        raise Refused("No price was named yet: type 'accept 30000', for example.")
    if price > talk.profile.budget:
        raise Refused(f"Your budget is {dollars(talk.profile.budget)}, which is less.")
    return Deal(True, _dollars(found["list"]) or msrp, price)


def _dollars(text: str | None) -> int | None:
    return int(text.replace(",", "")) if text else None


def _utterance(text: str, talk: Talk) -> str:
    said = " ".join(text.split())
    word = said.lower()
    if word == "reject" or _ACCEPT.fullmatch(word):
        deal = verdict(said, talk)
        closing = f"It is a deal at {dollars(deal.price or 0)}." if deal.bought else "No deal."
        return f"{closing} {deal.line}\n"
    if not 0 < len(said) <= LONGEST_REPLY:
        raise Refused(f"Please say something, with at most {LONGEST_REPLY} characters.")
    return said + "\n"


ORACLES: Mapping[str, Callable[[Person], Oracle]] = {
    "car-dealer": HumanBuyer,
    "guess-my-city": HumanCitizen,
    "twenty-questions": HumanAnswerer,
}
"""Tasks in which a person can be the other side."""


# -- who plays the agent --------------------------------------------------------------------------


@dataclass
class Game:
    """A running episode, and what lets its policy act once."""

    episode: Episode
    advance: Callable[[], None]


class Policy(Protocol):
    """Plays the agent."""

    def start(self, env: TextEnv, seed: int, task: str, options: Mapping[str, Any]) -> Game:
        """Begin an episode.

        Raises:
            ContextTooLong: from here or from `Game.advance`, if the policy cannot read it.
        """
        ...


@dataclass(frozen=True)
class Scripted:
    """A scripted player of the task."""

    player: str

    def start(self, env: TextEnv, seed: int, task: str, options: Mapping[str, Any]) -> Game:
        """Begin an episode; the player's own randomness follows from the seed too."""
        episode = Episode(env, seed, name=task, options=options)
        act = env.player(self.player, random.Random(f"{self.player}:{seed}"))
        return Game(episode, lambda: episode.act(act(episode.observation)))


@dataclass(frozen=True)
class Typed:
    """A person who plays the agent."""

    person: Person

    def start(self, env: TextEnv, seed: int, task: str, options: Mapping[str, Any]) -> Game:
        """Begin an episode."""
        episode = Episode(env, seed, name=task, options=options)

        def advance() -> None:
            self.person.tell(printable(episode.observation))
            episode.act(self.person.answer("> ", str) + env.stop)

        return Game(episode, advance)


# -- a study --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Slot:
    """An episode of a study: its number, who plays the agent, and its seed."""

    number: int
    policy: str
    seed: int


@dataclass(frozen=True)
class Study:
    """What is played.

    Attributes:
        task: name.
        options: of the task.
        side: of the person, one of `SIDES`.
        policies: who plays the agent; for a person on that side `("human",)`.
        episodes: of each policy.
        seed: the episodes have this and the following ones, the same for every policy, and the
            order follows from it.
        blind: whether no name is shown before the end.
        decoding: how policies sample, for the record.
    """

    task: str
    options: Mapping[str, Any]
    side: str
    policies: tuple[str, ...]
    episodes: int
    seed: int
    blind: bool = False
    decoding: Mapping[str, Any] | None = None

    def check(self) -> None:
        """Refuse what cannot be played.

        Raises:
            UsageError: with what is wrong and what to do about it.
        """
        make(self.task, **self.options)
        if self.side not in SIDES:
            raise unknown("side", self.side, SIDES)
        if self.episodes < 1:
            raise UsageError(f"--episodes is {self.episodes}; give 1 or more")
        if len(set(self.policies)) != len(self.policies):
            raise UsageError(f"--policy names one twice: {', '.join(self.policies)}")
        if self.side == ORACLE and self.task not in ORACLES:
            raise UsageError(
                f"nobody answers in {self.task}, so no person can; --as oracle is for "
                f"{', '.join(ORACLES)}"
            )

    def plan(self) -> Iterator[Slot]:
        """Yield the episodes in order: seed by seed, all policies in a new random order.

        So policies meet the same hidden things and equally often, wherever a study is stopped, and
        a longer study begins as the shorter one does.
        """
        number = 0
        for seed in range(self.seed, self.seed + self.episodes):
            order = list(self.policies)
            random.Random(f"order:{self.seed}:{seed}").shuffle(order)
            for policy in order:
                yield Slot(number, policy, seed)
                number += 1

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "policies": list(self.policies)}


def open_study(study: Study, folder: Path, seed_given: bool) -> Study:
    """Return a study as it can be played in `folder`: a new one, or one begun there to go on with.

    Nothing is written yet.

    Args:
        study: what is wanted.
        folder: of the study.
        seed_given: whether its seed was asked for; else that of a study begun before holds.

    Raises:
        UsageError: if another study is there, or something else.
    """
    path = folder / PLAN
    if path.exists():
        begun = read_study(folder)
        wanted = study if seed_given else replace(study, seed=begun.seed)
        # More episodes are welcome: the plan only grows at its end.
        if replace(begun, episodes=wanted.episodes) != wanted:
            raise UsageError(
                f"{folder} has another study: {json.dumps(begun.to_json())}; go on with the same "
                "task, options and policies, or choose a new folder with --out"
            )
        study = replace(wanted, episodes=max(begun.episodes, wanted.episodes))
    elif folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; choose a new folder with --out")
    return study


def write_study(study: Study, folder: Path) -> None:
    """Write what is played to the folder of a study."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{PLAN}.tmp"
    temporary.write_text(json.dumps(study.to_json(), indent=2) + "\n", encoding="utf-8")
    temporary.replace(folder / PLAN)


def read_study(folder: Path) -> Study:
    """Return the study that was begun in a folder.

    Raises:
        DataError: if there is none.
    """
    try:
        plain = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        return Study(**{**plain, "policies": tuple(plain["policies"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{folder} has no study ({error}); 'lmrl play TASK --out DIR' begins one"
        ) from error


def conduct(
    study: Study, policies: Mapping[str, Policy], person: Person, folder: Path | None
) -> bool:
    """Play what a study still lacks, and return whether it is complete now.

    Ctrl-C or Ctrl-D ends it; the episode that runs then is dropped.

    Args:
        study: checked.
        policies: the agents by name; none for a person who plays the agent.
        person: who takes part.
        folder: of the study; None keeps nothing, and asks for no rating.

    Raises:
        UsageError: if a policy cannot read the task.
    """
    slots = list(study.plan())
    try:
        if folder is not None:
            write_study(study, folder)
            there = sum(_path(folder, slot).exists() for slot in slots)
            if there < len(slots):
                person.tell(CONSENT.format(folder=folder))
                person.ask("Press Enter if you agree: ")
            if there:
                person.tell(f"{there} of {len(slots)} episodes are there already.")
        for slot in slots:
            if folder is None or not _path(folder, slot).exists():
                _play(study, slot, policies, person, folder)
            if folder is not None and study.side == ORACLE:
                _simulate(study, slot, policies[slot.policy], folder)
    except (EOFError, KeyboardInterrupt):
        person.tell("\nStopped. Finished episodes are kept." if folder else "\ngiven up")
        return False
    except ContextTooLong as error:
        raise UsageError(str(error)) from error
    return True


def _path(folder: Path, slot: Slot) -> Path:
    return folder / f"episode-{slot.number:05d}.parquet"


def _play(
    study: Study, slot: Slot, policies: Mapping[str, Policy], person: Person, folder: Path | None
) -> None:
    person.forget()
    total = study.episodes * len(study.policies)
    partner = "" if study.blind or study.side == AGENT else f", with {slot.policy}"
    person.tell(f"\nEpisode {slot.number + 1} of {total}: {study.task}, seed {slot.seed}{partner}.")
    if study.side == AGENT:
        env = make(study.task, **study.options)
        policy: Policy = Typed(person)
        person.tell("Type an action and press Enter; Ctrl-D gives up.")
    else:
        bare = make(study.task, **study.options)
        # Beside the options, not among them: the record names the person in its info.
        answers = {bare.oracle_option: ORACLES[study.task](person)}
        env, policy = make(study.task, **study.options, **answers), policies[slot.policy]
    trajectory = _finished(study, slot, policy, env)
    last = trajectory.info.get("last_text", trajectory.final)
    if study.side == AGENT:
        person.tell(printable(str(last)))
    person.tell(
        f"The episode is over: return {trajectory.total_reward:g} in {len(trajectory.turns)} turns."
    )
    # Copies: the rating is an answer too, and none of the game.
    facts = {
        "side": study.side,
        "seconds": list(person.seconds),
        "refused": list(person.refused),
    }
    trajectory = replace(trajectory, info={**trajectory.info, **facts})
    if folder is None:
        return
    # Stored before the rating, so that whoever leaves now loses nothing.
    write_table(to_table([trajectory]), _path(folder, slot))
    rating = person.answer(RATING, _rating)
    if rating is not None:
        rated = replace(trajectory, info={**trajectory.info, "rating": rating})
        write_table(to_table([rated]), _path(folder, slot))


def _rating(text: str) -> int | None:
    if not text.strip():
        return None
    if text.strip() not in ("1", "2", "3", "4", "5"):
        raise Refused("Please type a number from 1 to 5, or only Enter.")
    return int(text)


def _finished(study: Study, slot: Slot, policy: Policy, env: TextEnv) -> Trajectory:
    game = policy.start(env, slot.seed, study.task, study.options)
    while not game.episode.done:
        game.advance()
    return game.episode.trajectory(slot.policy)


def _simulate(study: Study, slot: Slot, policy: Policy, folder: Path) -> None:
    """Play a slot against the scripted oracle, if that has not been done."""
    path = _path(folder / SIMULATED, slot)
    if not path.exists():
        env = make(study.task, **study.options)
        write_table(to_table([_finished(study, slot, policy, env)]), path)


# -- its summary ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval over episodes, None of a single one, and how many there are."""

    mean: float
    ci95: Interval | None
    episodes: int


def estimate(values: Sequence[float]) -> Estimate | None:
    """Return the estimate of a mean; None of no values."""
    if not values:
        return None
    return Estimate(float(np.mean(values)), mean_interval(values), len(values))


def estimated_share(hits: Sequence[bool]) -> Estimate | None:
    """Return the estimate of a probability; None of no trials."""
    if not hits:
        return None
    return Estimate(float(np.mean(hits)), share_interval(sum(hits), len(hits)), len(hits))


@dataclass(frozen=True)
class Result:
    """What came of a policy in a study.

    Attributes:
        policy: name.
        episodes: how many were finished.
        returns: of an episode.
        success: share of the episodes that the task called one; None if it says nothing.
        rating: 1 to 5, of the rated ones.
        seconds: that the person took for an answer, on average within an episode.
        gap: how much more the policy returned with the person than with the scripted oracle on the
            same seeds; None where the person was the agent.
    """

    policy: str
    episodes: int
    returns: Estimate | None
    success: Estimate | None
    rating: Estimate | None
    seconds: Estimate | None
    gap: Difference | None

    def to_json(self) -> dict[str, Any]:
        """Return values for JSON."""
        return asdict(self)


def summary(folder: Path) -> list[Result]:
    """Return the results of a study, one for each policy.

    Raises:
        DataError: if the folder has no study, or no finished episode.
    """
    study = read_study(folder)
    played = list(load(folder))
    simulated = list(load(folder / SIMULATED)) if (folder / SIMULATED).exists() else []
    return [
        _result(name, *([t for t in part if t.player == name] for part in (played, simulated)))
        for name in study.policies
    ]


def _result(name: str, played: list[Trajectory], simulated: list[Trajectory]) -> Result:
    def known(fact: str) -> list[Any]:
        return [t.info[fact] for t in played if fact in t.info]

    return Result(
        policy=name,
        episodes=len(played),
        returns=estimate([t.total_reward for t in played]),
        success=estimated_share([bool(success) for success in known("success")]),
        rating=estimate([float(rating) for rating in known("rating")]),
        seconds=estimate([float(np.mean(seconds)) for seconds in known("seconds") if seconds]),
        gap=difference(played, simulated),
    )


def table(results: Sequence[Result]) -> str:
    """Return results as a table for a reader."""
    columns = ("return", "success", "rating (1-5)", "seconds", "human - simulator")
    lines = [f"{'policy':<24} {'episodes':>8} " + " ".join(f"{name:>22}" for name in columns)]
    for result in results:
        name = result.policy if len(result.policy) <= 24 else "..." + result.policy[-21:]
        cells = (result.returns, result.success, result.rating, result.seconds, result.gap)
        row = " ".join(f"{_cell(value):>22}" for value in cells)
        lines.append(f"{name:<24} {result.episodes:>8} {row}")
    return "\n".join(lines)


def _cell(value: Estimate | Difference | None) -> str:
    if value is None:
        return "-"
    return f"{value.mean:.2f} {interval(value.ci95)}"
