"""Runs that go on: which fields may change, and runs that begin at another run's checkpoint."""

import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cluster.experiment import Experiment
from cluster.fields import flat, read_config
from cluster.ledger import Ledger
from learners.algorithms.registry import as_json
from learners.engine import OTHER_RANKS
from lmrl.errors import UsageError, option
from lmrl.files import atomic_folder, write_json
from lmrl.runs.checkpoints import newest_first, read_state, write_state
from lmrl.runs.log import RunLog, provenance
from lmrl.runs.names import CONFIG, LAST, RECORD, START, SUMMARY, checkpoint

MAY_CHANGE = (
    "updates",
    "failures",
    "save_every",
    "save_minutes",
    "keep",
    "time_limit",
    "alarms.",
    "evaluation.episodes",
    "placement.",
    "push.",
    "rollouts.in_flight",
    "learner.ranks",
    "learner.threads",
    "learner.recompute",
    "learner.packed",
    "learner.micro_tokens",
    "learner.max_skips",
    "learner.inspected",
    "learner.timeout",
    "mirror",
    "sampler.count",
    "sampler.tensor_parallel",
    "sampler.threads",
    "sampler.max_sequences",
    "sampler.batched_tokens",
    "sampler.kv_gigabytes",
    "sampler.gpu_memory",
    "sampler.eager",
    "sampler.sleep",
    "simulator.",
    "tracking.",
)
"""Fields of a run that may change when it goes on, or beginnings of their names: they change its
length, its speed or what it records, and not what it learns."""

OF_CHECKPOINT = (
    "algorithm.name",
    "model.",
    "start",
    "learner.lora.",
    "learner.frozen_trunk",
    "learner.optimiser.zero",
)
"""Fields on which the form of a checkpoint depends, or beginnings of their names."""


def recorded_run(log: RunLog) -> Experiment:
    """Return the experiment of a run directory.

    Raises:
        UsageError: if it is not a run directory, or its configuration cannot be read.
    """
    log.check_marked()
    path, saved = log.folder / CONFIG, checkpoint(log.folder, LAST) / RECORD
    if not path.exists() and saved.exists():
        raise UsageError(f"{log.folder} has no {CONFIG}; copy {saved} to {path} to go on")
    return read_config(path)


def check_changes(log: RunLog, exp: Experiment) -> None:
    """Refuse an experiment with which a run cannot go on.

    Args:
        log: log of the run directory.
        exp: experiment of the run, with changed fields or without.

    Raises:
        UsageError: if a field has changed that may not, or there are more updates already.
    """
    before = recorded_run(log)
    for name, old, new in _differences(before, exp):
        if not name.startswith(MAY_CHANGE):
            raise UsageError(
                f"{option(name)} is {old!r} in {log.folder} and cannot become {new!r} in the same "
                f"run; begin another one at its last checkpoint: lmrl train --from {log.folder} "
                f"--run-dir NEW {option(name)} ..."
            )
    _check_ranks(before, exp)
    done = next((int(folder.name.split("-")[1]) for folder in newest_first(log.folder)), 0)
    if exp.updates < done:
        raise UsageError(
            f"updates {exp.updates} is below the {done} updates that {log.folder} has saved"
        )


def _check_ranks(before: Experiment, after: Experiment) -> None:
    """Refuse numbers of learner ranks among which the last checkpoint cannot be divided."""
    old, new = before.learner.ranks, after.learner.ranks
    zero = before.learner.optimiser.zero
    if old != new and (zero == 3 or (zero > 0 and new > old)):
        raise UsageError(
            f"learner.ranks {new}: a checkpoint of {old} ranks under ZeRO {zero} goes on with "
            f"{OTHER_RANKS.get(zero, 'the same ranks')} only; leave it at {old}"
        )


def go_on(log: RunLog, exp: Experiment) -> None:
    """Let a run go on with an experiment; the caller has locked its directory.

    Args:
        log: log of the run directory.
        exp: experiment of the run, with changed fields or without.

    Raises:
        UsageError: as `check_changes`, or if the run has ended and would not be longer.
    """
    check_changes(log, exp)
    before = recorded_run(log)
    if log.finished:
        if exp.updates <= before.updates:
            raise UsageError(
                f"{log.folder} has ended after {before.updates} updates; its figures are in "
                f"summary.json, and 'lmrl status' prints them. More --updates extend it"
            )
        (log.folder / SUMMARY).unlink()
    if exp != before:
        write_json(log.folder / CONFIG, {**exp.to_json(), "provenance": provenance()})


def fork(source: Path, exp: Experiment, log: RunLog) -> None:
    """Make a run directory whose run goes on from the last checkpoint of another run.

    Its counts begin anew; update numbers, optimiser and positions go on.

    Args:
        source: directory of the other run, which stays as it is.
        exp: experiment of the new run.
        log: log of the new run directory, which the caller has locked.

    Raises:
        UsageError: if the other run has no whole checkpoint or one of another form, or the
            directory has a run, or there is no update left.
    """
    for name, old, new in _differences(recorded_run(RunLog(source)), exp):
        if name.startswith(OF_CHECKPOINT):
            raise UsageError(
                f"{option(name)} is {old!r} in {source}, and its checkpoint does not fit {new!r}; "
                f"give --model.path {checkpoint(source, LAST)} to a new run, which begins with its "
                "policy and a new optimiser"
            )
    _check_ranks(recorded_run(RunLog(source)), exp)
    if log.holds_run:
        raise UsageError(f"{log.folder} holds a run already; choose another --run-dir")
    found, state = _whole(source)
    if exp.updates <= state["update"]:
        raise UsageError(
            f"updates {exp.updates} leaves none after the {state['update']} updates of {found}; "
            "give more --updates"
        )
    position = {**state["position"], "pending": []}
    anew: dict[str, Any] = {
        "position": position,
        "ledger": asdict(Ledger()),
        "scores": {},
        "best": None,
        "pushes": 0,
        "parity": 0.0,
        "ages": [],
        "seconds": {},
        "lengths": {},
        "alarms": {},
    }
    if (source / START).exists():
        with atomic_folder(log.folder / START, replace=True) as folder:
            _link_files((source / START).resolve(), folder)
    with log.checkpoint(int(state["update"])) as folder:
        try:
            _link_files(found, folder)
        except (OSError, shutil.Error) as error:
            raise UsageError(
                f"{found} cannot be copied whole: {error}; if its run goes on, it may just have "
                "deleted it: give the command again"
            ) from error
        (folder / RECORD).unlink()  # a second name of the other run's file
        write_json(folder / RECORD, exp.to_json())
        write_state(folder, {**state, **anew})
    # Last: without it, the directory holds no run, and the same command begins again.
    log.begin({**exp.to_json(), "provenance": provenance()})


def _whole(run: Path) -> tuple[Path, dict[str, Any]]:
    """Return the last whole checkpoint of a run, and its state."""
    damaged = []
    for folder in newest_first(run):
        try:
            return folder, read_state(folder)
        except ValueError as error:
            damaged.append(str(error))
    raise UsageError(f"{run} has no whole checkpoint to begin at {'; '.join(damaged)}".rstrip())


def _link_files(source: Path, folder: Path) -> None:
    """Give the files of a folder second names in another one; copy them where that is impossible.

    Nothing writes into a finished checkpoint, so both can share the files.
    """

    def link(old: str, new: str) -> None:
        try:
            os.link(old, new)
        except OSError:
            shutil.copy2(old, new)

    shutil.copytree(source, folder, symlinks=True, copy_function=link, dirs_exist_ok=True)


def _differences(before: Experiment, after: Experiment) -> list[tuple[str, object, object]]:
    """Return name, old and new value of each field that differs."""
    old, new = (
        {"algorithm.name": as_json(exp.algorithm)["name"], **dict(flat(exp))}
        for exp in (before, after)
    )
    return [
        (name, old.get(name), new.get(name))
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    ]
