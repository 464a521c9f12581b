"""Playing the episodes that a study still lacks."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lmrl.data.store import write_table
from lmrl.env import TextEnv
from lmrl.episode import ContextTooLong
from lmrl.errors import UsageError
from lmrl.human.person import Person, Refused
from lmrl.human.policies import Policy, Typed
from lmrl.human.study import AGENT, ORACLE, SIMULATED, Slot, Study, write_study
from lmrl.schema import to_table
from lmrl.tasks import make, make_answered
from lmrl.trajectory import Trajectory, printable

CONSENT = (
    "Taking part is voluntary. What you type, how long you take and your ratings are stored in "
    "{folder}, and nothing else is. Please type no personal data, your own or anybody's. You can "
    "stop at any time with Ctrl-D; finished episodes are kept."
)
RATING = "How well did the other side do its part? 1 (badly) to 5 (very well), Enter skips: "


def conduct(
    study: Study, policies: Mapping[str, Policy], person: Person, folder: Path | None
) -> bool:
    """Play the episodes that a study still lacks, and return whether it is complete now.

    Ctrl-C or Ctrl-D ends the session and drops the running episode.

    Args:
        study: study that passed its `check`.
        policies: policies that play the agent, by name; empty if the person plays the agent.
        person: person who takes part.
        folder: folder of the study; None stores no episode and asks for no rating.

    Raises:
        UsageError: if the context of an episode is too long for a policy.
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
        human_oracle = make(study.task, **study.options).human_oracle
        assert human_oracle is not None  # the study was checked
        env = make_answered(study.task, study.options, human_oracle(person))
        policy = policies[slot.policy]
    trajectory = _finished(study, slot, policy, env)
    last = trajectory.info.get("last_text", trajectory.final)
    if study.side == AGENT:
        person.tell(printable(str(last)))
    person.tell(
        f"The episode is over: return {trajectory.total_reward:g} in {len(trajectory.turns)} turns."
    )
    # Copies, because the rating adds an answer that is not part of the game.
    facts = {
        "side": study.side,
        "seconds": list(person.seconds),
        "refused": list(person.refused),
    }
    trajectory = replace(trajectory, info={**trajectory.info, **facts})
    if folder is None:
        return
    # Stored before the rating, so that a person who leaves now loses nothing.
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
