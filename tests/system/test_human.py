"""Human evaluation: what a person is asked, told and stored. Persons are scripts that type."""

import itertools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmrl.cli import main
from lmrl.data.replay import replay
from lmrl.data.store import load, write
from lmrl.episode import play
from lmrl.errors import DataError, UsageError
from lmrl.human.person import HUMAN, Person
from lmrl.human.policies import Scripted
from lmrl.human.results import summary, table
from lmrl.human.session import conduct
from lmrl.human.study import (
    AGENT,
    ORACLE,
    PLAN,
    SIMULATED,
    Study,
    open_study,
    read_study,
    write_study,
)
from lmrl.scoring.intervals import mean_interval, share_interval
from lmrl.tasks import make, make_answered
from lmrl.tasks.car_dealer.buyer import ScriptedBuyer
from lmrl.tasks.car_dealer.deals import read_deal
from lmrl.tasks.guess_my_city.cities import cities
from lmrl.tasks.questions.replies import city_prompt, object_prompt
from lmrl.tasks.twenty_questions import knowledge
from lmrl.trajectory import NO_IDS, Trajectory, Turn

QUESTIONS = "twenty-questions"
GAMES = (QUESTIONS, "guess-my-city")


class Terminal:
    """Somebody who types what a function says to what was shown since the line before."""

    def __init__(self, types: Callable[[str, str], str]) -> None:
        self.types = types
        self.shown: list[str] = []
        self.fresh: list[str] = []
        self.time = 0.0

    def tell(self, text: str) -> None:
        self.shown.append(text)
        self.fresh.append(text)

    def ask(self, prompt: str) -> str:
        self.shown.append(prompt)
        text, self.fresh = "\n".join(self.fresh), []
        return self.types(prompt, text)

    def clock(self) -> float:
        """Half a second passes between any two looks at the clock."""
        self.time += 0.5
        return self.time

    @property
    def person(self) -> Person:
        return Person(self.ask, self.tell, self.clock)

    @property
    def screen(self) -> str:
        return "\n".join(self.shown)


def lines(*given: str) -> Terminal:
    """Return somebody who types given lines, then Ctrl-D."""
    left = iter(given)

    def types(prompt: str, text: str) -> str:
        for line in left:
            return line
        raise EOFError

    return Terminal(types)


def answering(rating: str = "") -> Terminal:
    """Return somebody who answers in both games exactly as the scripted oracles do."""
    hidden = ""

    def types(prompt: str, text: str) -> str:
        nonlocal hidden
        for line in text.split("\n"):
            for start in ("You have in mind: ", "You are from "):
                if line.startswith(start):
                    hidden = line.removeprefix(start).partition(". Answer")[0]
        if prompt.startswith("How well"):
            return rating
        if prompt.startswith("Press"):
            return ""
        question = text.rpartition("They ask: ")[2]
        if prompt.startswith("yes, no"):
            return knowledge()(object_prompt(hidden.split(", "), question))
        name, _, country = hidden.rpartition(", ")
        return cities()(city_prompt(f"{name},{country}".lower(), question))

    return Terminal(types)


def study(task: str = QUESTIONS, **changes: Any) -> Study:
    given = Study(task, {}, ORACLE, ("optimal", "random"), 3, 40)
    return replace(given, **changes)


def policies(given: Study) -> dict[str, Any]:
    return {name: Scripted(name) for name in given.policies}


def run(given: Study, terminal: Terminal, folder: Path) -> bool:
    given.check()
    opened = open_study(given, folder, seed_given=True)
    return conduct(opened, policies(opened), terminal.person, folder)


def said(trajectory: Trajectory) -> list[str]:
    return [turn.action for turn in trajectory.turns]


def facts(folder: Path, fact: str) -> list[Any]:
    return [t.info.get(fact) for t in load(folder)]


# -- the agent's side -----------------------------------------------------------------------------

AGENT_STUDY = Study("maze-fo", {"max_steps": 3}, AGENT, (HUMAN,), 2, 7)


def test_a_person_plays_several_episodes(tmp_path: Path) -> None:
    moves = ["move up", "nonsense", "move up", "move up"]
    terminal = lines("", *moves, "4", *moves, "")
    assert run(AGENT_STUDY, terminal, tmp_path / "out")
    played = list(load(tmp_path / "out"))
    assert [t.seed for t in played] == [7, 8] and {t.player for t in played} == {"human"}
    assert said(played[0]) == [f"{move}\n" for move in moves]
    assert [replay(t) for t in played] == [None, None]
    assert facts(tmp_path / "out", "side") == ["agent", "agent"]
    assert facts(tmp_path / "out", "seconds") == [[0.5] * 4] * 2
    assert facts(tmp_path / "out", "rating") == [4, None]
    assert "rating" not in played[1].info
    assert played[0].turns[0].observation.removesuffix("\n") in terminal.screen
    assert not (tmp_path / "out" / SIMULATED).exists()


def test_playing_for_oneself_keeps_and_asks_nothing(tmp_path: Path) -> None:
    terminal = lines(*["move up"] * 8)
    assert conduct(AGENT_STUDY, {}, terminal.person, None)
    assert "personal data" not in terminal.screen and "badly" not in terminal.screen
    assert "Episode 2 of 2" in terminal.screen and "Failure" in terminal.screen
    assert not conduct(AGENT_STUDY, {}, lines("move up").person, None)


def test_consent_comes_before_everything(tmp_path: Path) -> None:
    terminal = lines()
    assert not run(AGENT_STUDY, terminal, tmp_path / "out")
    assert "no personal data" in terminal.shown[0] and str(tmp_path / "out") in terminal.shown[0]
    assert terminal.shown[1].startswith("Press Enter if you agree")
    assert "Episode" not in terminal.screen and not list((tmp_path / "out").glob("*.parquet"))


# -- the oracle's side ----------------------------------------------------------------------------


@pytest.mark.parametrize("task", GAMES)
def test_a_person_like_the_simulator_leaves_no_gap(task: str, tmp_path: Path) -> None:
    given = study(task)
    assert run(given, answering("3"), tmp_path)
    played, simulated = list(load(tmp_path)), list(load(tmp_path / SIMULATED))
    assert [t.player for t in played] == [slot.policy for slot in given.plan()]
    assert {t.info["oracle"] for t in played} == {"human"}
    assert {t.info["oracle"] for t in simulated} == {"scripted"}
    for ours, theirs in zip(played, simulated, strict=True):
        assert said(ours) == said(theirs)
        assert len(ours.info["seconds"]) == len(ours.info["refused"]) == len(ours.turns)
        # The policy plays as it does without a person.
        twin = play(make(task), ours.player, ours.seed, task)
        assert said(twin) == said(theirs)
    assert [replay(t) for t in simulated] == [None] * 6
    for result in summary(tmp_path):
        assert result.episodes == 3 and result.gap is not None
        assert (result.gap.mean, result.gap.ci95, result.gap.pairs) == (0.0, (0.0, 0.0), 3)
        assert result.rating is not None and result.rating.mean == 3.0


def one(task: str, terminal: Terminal, **options: Any) -> Any:
    """Return a task in which somebody at a terminal answers, after a reset."""
    bare = make(task)
    assert bare.human_oracle is not None
    return make_answered(task, options, bare.human_oracle(terminal.person))


def test_answers_are_yes_no_or_unknown() -> None:
    terminal = lines("perhaps", "", "Y", "n", "?", "no", "?", "yes")
    env = one(QUESTIONS, terminal)
    _, info = env.reset(seed=0, options={"word": "Lion"})
    assert info["oracle"] == "human"
    assert [env.step("Is it big?\n").text for _ in range(3)] == [
        "Yes.\n",
        "No.\n",
        "I don't know.\n",
    ]
    assert terminal.screen.count("Please answer yes, no or ?.") == 2
    last = env.step("Is it a lion?\n")  # neither no nor a shrug is true here
    assert last.terminated and last.info["success"]
    assert terminal.screen.count("the answer is yes") == 2
    assert terminal.screen.count("You have in mind: Lion.") == 1


def test_refused_inputs_are_counted_and_timed(tmp_path: Path) -> None:
    given = study(options={"max_turns": 2}, policies=("random",), episodes=1)
    # Should the random player name the object, `yes` is as good as here.
    terminal = lines("", "what", "huh", "no", "no", "9", "5")
    assert run(given, terminal, tmp_path)
    (played,) = load(tmp_path)
    assert played.info["refused"] == [2, 0] and played.info["seconds"] == [0.5, 0.5]
    assert played.info["rating"] == 5


def test_bytes_that_are_no_text_are_typed_again() -> None:
    terminal = lines(b"caf\xe9".decode("utf-8", "surrogateescape"), "café")
    person = terminal.person
    assert person.answer("> ", str) == "café" and person.refused == [1]
    assert "type the line again" in terminal.screen


def test_a_city_is_not_given_away() -> None:
    terminal = lines("It is Tokyo.", "in japan", "", "x" * 301, "on an  island", "y", "no", "yes")
    env = one("guess-my-city", terminal)
    env.reset(seed=0, options={"word": "Tokyo"})
    assert env.step("Where is it?\n").text == "on an island\n"
    assert terminal.screen.count("say it in another way") == 2
    assert terminal.screen.count("1 to 300 characters") == 2
    assert env.step("Is it big?\n").text == "Yes.\n"
    assert env.step("Is it Tokyo?\n").info["success"]
    assert "You are from Tokyo, Japan." in terminal.screen


def test_what_a_policy_says_cannot_drive_the_terminal() -> None:
    terminal = lines("no")
    env = one(QUESTIONS, terminal)
    env.reset(seed=0, options={"word": "Lion"})
    env.step("Is it \x1b[2J red?\n")
    assert "\x1b" not in terminal.screen and "\\x1b[2J" in terminal.screen


PROFILE = {"personality": "rude", "budget": 30_000, "preferred_features": ["sunroof"]}


def dealer(terminal: Terminal, **options: Any) -> Any:
    env = one("car-dealer", terminal, **options)
    env.reset(seed=0, options=PROFILE)
    return env


def test_a_person_buys_a_car() -> None:
    terminal = lines("", "hm", "accept", "how about 20k?", "accept 40,000", "accept")
    env = dealer(terminal)
    assert env.step("Hello!\n").text == "hm\n"
    assert env.step("I have a Ford.\n").text == "how about 20k?\n"  # there is no price to accept
    last = env.step("The list price is $40,000, yours for $25,000.\n")
    assert last.terminated and last.info["success"]
    assert (last.info["msrp"], last.info["price"]) == (40_000, 25_000)
    assert last.reward == pytest.approx(25 / 35) and last.text == "It is a deal at $25,000.\n"
    screen = terminal.screen
    assert screen.count("Personality: rude.") == 1 and "Budget: $30,000" in screen
    assert "No price was named yet" in screen and "Your budget is $30,000" in screen


@pytest.mark.parametrize(
    ("typed", "bought", "msrp", "price"),
    [
        ("accept $21,000", True, 24_000, 21_000),
        ("ACCEPT 21000 of 28000", True, 28_000, 21_000),
        ("Reject", False, 24_000, 0),
    ],
)
def test_verdicts_are_typed(typed: str, bought: bool, msrp: int, price: int) -> None:
    last = dealer(lines(typed)).step("A Ford for $24,000.\n")
    assert last.terminated and last.info["success"] is bought
    assert (last.info["msrp"], last.info["price"]) == (msrp, price)


def test_a_verdict_is_asked_for_at_the_limit() -> None:
    terminal = lines("let me think", "well", "accept 10000")
    last = dealer(terminal, max_utterances=2).step("A Ford for $24,000.\n")
    assert last.terminated and last.info["success"] and last.text == "let me think\n"
    assert last.info["price"] == 10_000
    assert "your decision" in terminal.screen and "'accept 30000' or 'reject'" in terminal.screen


def test_a_buyer_sees_what_the_scripted_one_sees() -> None:
    """A person who repeats the scripted buyer's words gets the same episodes."""
    buyer = ScriptedBuyer()
    env: Any = None

    def types(prompt: str, text: str) -> str:
        deal, reply = read_deal(buyer(env.prompt()))
        if deal is None:
            return reply
        return f"accept {deal.price} of {deal.msrp}" if deal.bought else "reject"

    env = one("car-dealer", Terminal(types))
    for seed in range(5):
        mine = play(env, "optimal", seed)
        scripted = play(make("car-dealer"), "optimal", seed)
        assert mine.total_reward == scripted.total_reward
        assert said(mine) == said(scripted)


# -- order, blindness, going on -------------------------------------------------------------------


def test_the_plan_is_balanced_matched_and_random() -> None:
    given = study(policies=("a", "b", "c"), episodes=60)
    plan = list(given.plan())
    assert [slot.number for slot in plan] == list(range(180))
    assert Counter(slot.policy for slot in plan) == {"a": 60, "b": 60, "c": 60}
    for name in "abc":  # the same hidden things for every policy
        assert [s.seed for s in plan if s.policy == name] == list(range(40, 100))
    blocks = [tuple(s.policy for s in plan[i : i + 3]) for i in range(0, 180, 3)]
    assert all(set(block) == {"a", "b", "c"} for block in blocks)
    # All six orders come up, none much more often than the others.
    assert len(set(blocks)) == 6 and max(Counter(blocks).values()) < 22
    assert plan == list(given.plan())
    assert plan != list(replace(given, seed=41).plan())
    assert list(replace(given, episodes=70).plan())[:180] == plan


def test_names_are_hidden_until_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = answering("2")
    screen: list[str] = []

    def asked(prompt: str) -> str:
        terminal.fresh = [capsys.readouterr().out]
        screen.extend((*terminal.fresh, prompt))
        return terminal.ask(prompt)

    monkeypatch.setattr("builtins.input", asked)
    given = ["study", "answer", QUESTIONS, "--policy", "optimal", "mixture"]
    assert main([*given, "--episodes", "2", "--blind", "--seed", "5", "--out", str(tmp_path)]) == 0
    until = "".join(screen)
    assert "Episode 4 of 4" in until and "optimal" not in until and "mixture" not in until
    end = capsys.readouterr().out
    assert "optimal" in end and "mixture" in end and "human - simulator" in end
    assert read_study(tmp_path).blind and read_study(tmp_path).seed == 5

    capsys.readouterr()
    assert main(["study", "show", str(tmp_path), "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert [row["policy"] for row in results] == ["optimal", "mixture"]
    assert all(row["episodes"] == 2 and row["gap"]["mean"] == 0.0 for row in results)


def test_names_are_shown_otherwise(tmp_path: Path) -> None:
    terminal = answering()
    assert run(study(episodes=1), terminal, tmp_path)
    assert "with optimal" in terminal.screen and "with random" in terminal.screen


@pytest.mark.parametrize("leaves", [EOFError, KeyboardInterrupt])
def test_a_study_goes_on_where_it_stopped(leaves: type[BaseException], tmp_path: Path) -> None:
    given = study(episodes=2, blind=True)
    whole = answering("4")
    assert run(given, whole, tmp_path / "whole")

    patient = answering("4")
    answers = itertools.count()

    def impatient(prompt: str, text: str) -> str:
        if next(answers) == 30:  # in the middle of an episode, the second or third
            raise leaves
        return patient.types(prompt, text)

    stopped = Terminal(impatient)
    assert not run(given, stopped, tmp_path / "parts")
    assert "Stopped. Finished episodes are kept." in stopped.screen
    assert "optimal" not in stopped.screen
    kept = sorted((tmp_path / "parts").glob("*.parquet"))
    assert 0 < len(kept) < 4
    before = [path.read_bytes() for path in kept]

    again = answering("4")
    assert run(given, again, tmp_path / "parts")
    assert f"{len(kept)} of 4 episodes are there already" in again.screen
    assert [path.read_bytes() for path in kept] == before
    for part in ("", SIMULATED):
        one, other = (list(load(tmp_path / name / part)) for name in ("whole", "parts"))
        assert [(t.seed, t.player) for t in one] == [(t.seed, t.player) for t in other]
        assert [said(t) for t in one] == [said(t) for t in other]
    done = lines()
    assert run(given, done, tmp_path / "parts") and "agree" not in done.screen


def test_who_leaves_at_the_rating_keeps_the_episode(tmp_path: Path) -> None:
    assert not run(AGENT_STUDY, lines("", *["move up"] * 4), tmp_path)
    assert facts(tmp_path, "seconds") == [[0.5] * 4] and facts(tmp_path, "rating") == [None]


def test_a_study_may_grow_and_not_change(tmp_path: Path) -> None:
    assert run(study(episodes=1), answering(), tmp_path)
    first = [(t.seed, t.player) for t in load(tmp_path)]
    grown = open_study(study(episodes=2, seed=99), tmp_path, seed_given=False)
    assert (grown.episodes, grown.seed) == (2, 40)
    assert conduct(grown, policies(grown), answering().person, tmp_path)
    assert [(t.seed, t.player) for t in load(tmp_path)][:2] == first
    assert open_study(study(episodes=1), tmp_path, seed_given=True).episodes == 2
    assert not (tmp_path / "new").exists()
    assert open_study(study(), tmp_path / "new", seed_given=True) == study()
    for changes in (
        {"seed": 41},
        {"policies": ("optimal",)},
        {"options": {"max_turns": 5}},
        {"task": "guess-my-city"},
        {"blind": True},
    ):
        with pytest.raises(UsageError, match="has another study"):
            open_study(study(**changes), tmp_path, seed_given=True)
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").touch()
    with pytest.raises(UsageError, match="not empty"):
        open_study(study(), other, seed_given=True)
    (tmp_path / PLAN).write_text('{"task": 1}')
    with pytest.raises(DataError, match="has no study"):
        open_study(study(), tmp_path, seed_given=True)


# -- the summary ----------------------------------------------------------------------------------


def trajectory(player: str, seed: int, reward: float, **info: Any) -> Trajectory:
    turn = Turn("o", NO_IDS, 1, "a", NO_IDS, NO_IDS.astype(np.float32), NO_IDS, reward)
    return Trajectory(QUESTIONS, {}, seed, (turn,), "terminated", "", NO_IDS, 1, player, info=info)


def test_a_summary_is_what_a_hand_computes(tmp_path: Path) -> None:
    write_study(study(policies=("a", "b", "c")), tmp_path)
    write(
        [
            trajectory("a", 1, -4.0, success=True, rating=5, seconds=[1.0, 2.0]),
            trajectory("a", 2, -20.0, success=False, rating=2, seconds=[4.0]),
            trajectory("a", 3, -6.0, success=True, seconds=[]),
            trajectory("b", 1, -8.0, success=True, seconds=[3.0, 3.0]),
        ],
        tmp_path,
    )
    write(
        [
            trajectory("a", 1, -3.0),
            trajectory("a", 2, -16.0),
            trajectory("b", 2, -5.0),  # no episode with the person has this seed
        ],
        tmp_path / SIMULATED,
    )
    a, b, c = summary(tmp_path)
    assert a.episodes == 3 and a.returns is not None
    assert a.returns.mean == -10.0 and a.returns.ci95 == mean_interval([-4.0, -20.0, -6.0])
    assert a.success is not None and a.success.mean == pytest.approx(2 / 3)
    assert a.success.ci95 == share_interval(2, 3)
    assert a.rating is not None and (a.rating.mean, a.rating.episodes) == (3.5, 2)
    assert a.seconds is not None and (a.seconds.mean, a.seconds.episodes) == (2.75, 2)
    assert a.gap is not None and (a.gap.mean, a.gap.pairs) == (-2.5, 2)
    assert a.gap.ci95 == mean_interval([-1.0, -4.0])
    assert b.gap is None and b.rating is None and b.seconds is not None
    assert c.episodes == 0 and c.returns is None and c.success is None
    text = table([a, b, c])
    assert "-10.00 [-31.66, 11.66]" in text and "-2.50 [-21.56, 16.56]" in text
    assert json.loads(json.dumps(a.to_json()))["gap"]["mean"] == -2.5


# -- the command line -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--policy", "optimal"), "--out is missing"),
        (("--out", "x"), "--policy is missing"),
        (("--policy", "optiml", "--out", "x"), "did you mean 'optimal'"),
        (("--policy", "random", "random", "--out", "x"), "names one twice"),
        (("--policy", "optimal", "--out", "x", "--episodes", "0"), "a whole number above 0"),
    ],
)
def test_bad_studies_are_refused(
    arguments: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["study", "answer", QUESTIONS, *arguments]) == 2
    out, err = capsys.readouterr()
    assert message in err and err.count("\n") == 1 and not out
    assert not list(tmp_path.iterdir())


def test_other_refusals(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    there = ["--policy", "optimal", "--out", str(tmp_path / "x")]
    assert main(["study", "answer", "maze-fo", *there]) == 2
    assert "nobody answers in maze-fo" in capsys.readouterr().err
    assert main(["play"]) == 2
    assert "TASK is missing" in capsys.readouterr().err
    assert main(["study", "show", str(tmp_path)]) == 2
    assert "has no study" in capsys.readouterr().err
    write_study(study(), tmp_path / "begun")
    assert main(["study", "show", str(tmp_path / "begun")]) == 2
    assert "no data set" in capsys.readouterr().err


def test_play_without_a_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed: Iterator[str] = iter(["move up"] * 4)
    monkeypatch.setattr("builtins.input", lambda prompt: next(typed))
    assert main(["play", "maze-fo", "--options", '{"max_steps": 3}', "--seed", "7"]) == 0
    out = capsys.readouterr().out
    assert "maze-fo, seed 7" in out and "return -4 in 4 turns" in out


def test_nothing_heavy_is_loaded_for_scripted_partners() -> None:
    code = (
        "import sys, lmrl.human.results, lmrl.human.session, lmrl.scoring.robustness\n"
        "heavy = {'torch', 'ray', 'vllm', 'transformers', 'chess'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- checkpoints ----------------------------------------------------------------------------------


@pytest.mark.system
def test_checkpoints_are_partners(local_ray: None, checkpoint: Path, tmp_path: Path) -> None:
    """They sample what `lmrl evaluate` samples, and a person can answer them."""
    from cluster.config import EvaluationConfig
    from cluster.evaluation.checkpoint import score_checkpoint
    from cluster.evaluation.human_partners import serving_partners
    from lmrl.schema import from_table

    second = tmp_path / "second"
    second.symlink_to(checkpoint)
    names = (str(checkpoint), str(second))
    options = {"max_turns": 3}
    given = study(options=options, policies=names, episodes=2, seed=1_000_000_000, blind=True)
    given.check()
    folder = tmp_path / "study"
    terminal = lines("", *["no", "no", "no", "3"] * 4)
    with serving_partners(names, QUESTIONS, options, temperature=1.0, max_tokens=4) as served:
        assert conduct(given, served, terminal.person, folder)
    assert not any(name in terminal.screen for name in names)
    played, simulated = list(load(folder)), list(load(folder / SIMULATED))
    assert [t.player for t in played] == [slot.policy for slot in given.plan()]
    assert all(len(turn.action_ids) for t in played for turn in t.turns)
    assert [replay(t) for t in simulated] == [None] * 4
    assert all(result.episodes == 2 and result.gap is not None for result in summary(folder))

    scored = score_checkpoint(
        checkpoint, QUESTIONS, {"base": options}, EvaluationConfig(2), max_tokens=4
    )["base"]
    assert not isinstance(scored, str)
    evaluated = {t.seed: t for t in from_table(scored[1])}
    for twin in simulated:
        same = evaluated[twin.seed]
        assert [u.action_ids.tolist() for u in twin.turns] == [
            u.action_ids.tolist() for u in same.turns
        ]
