"""`train`: the training loop: push, take episodes, update, push, evaluate, save.

    Fleet        the actors of the run (cluster.fleet)
    source       rounds of fresh episodes, or batches of a data set (cluster.source)
    learners     the DeepSpeed ranks as one object (cluster.learner_group)
    push         transfer of weights to every sampler, with a parity gate (cluster.weights.push)
    evaluate     score on fixed seeds (cluster.evaluation.fixed_seeds)
    Progress     metrics, scores, checkpoints and terminal output (cluster.reporting.progress)

Online and offline training differ in the source of episodes only; the loop is the same.
"""

import time
from contextlib import ExitStack
from functools import partial
from typing import Any

import ray

from cluster.evaluation.fixed_seeds import evaluate
from cluster.experiment import Experiment
from cluster.fleet import Fleet
from cluster.reporting.phases import RAY, phase, planned
from cluster.reporting.progress import Progress, saved_if_stopped
from cluster.reporting.prometheus import RayGauges
from cluster.source import Source
from cluster.startup.episodes import batches
from cluster.startup.launch import launch
from cluster.startup.preflight import preflight
from cluster.startup.ray_session import ray_session
from cluster.startup.start_policy import served, starting_point
from cluster.weights.push import push, sleep_samplers
from lmrl.interrupt import check_stop, time_limit
from lmrl.runs.log import RunLog, provenance
from lmrl.runs.mirror import Mirror
from lmrl.runs.names import LOG, evaluated, training_file
from lmrl.runs.trackers import SERVICES, RunFacts
from lmrl.screen import Screen
from lmrl.screen.stages import Stage


def train(
    exp: Experiment,
    log: RunLog,
    resume: bool = False,
    overwrite: bool = False,
    verbose: bool = False,
    screen: Screen | None = None,
) -> dict[str, Any]:
    """Run an experiment to its end and return its summary.

    Args:
        exp: experiment to run.
        log: log of the run directory.
        resume: whether to continue from the last checkpoint of the run directory; if there is none,
            the run begins at the start.
        overwrite: whether to replace an existing run, once this one has saved a checkpoint.
        verbose: whether to print the actors' logs.
        screen: screen that shows the run; None shows nothing.

    Raises:
        UsageError: if the experiment cannot work; no actor has started, and nothing of the run is
            left. Also if the run directory has another run or foreign files, or another process
            uses it.
        RunError: if the run has to stop; its last checkpoint stays.
        KeyboardInterrupt, OutOfTime: if a signal or the time limit ends the run. Within the updates
            the last one is saved first; a second signal ends the run at once.
    """
    exp.check()
    screen = Screen() if screen is None else screen
    if not screen.stages.stages:  # else this is the start policy of a run that is on the screen
        screen.stages.plan([Stage("ray", "Ray", 1, RAY), *planned(exp)])
    with ExitStack() as stack:
        stack.enter_context(log.locked())
        if exp.mirror is not None:
            Mirror(log.folder, exp.mirror).check()
        if not resume:
            log.prepare({**exp.to_json(), "provenance": provenance()}, overwrite)
        stack.enter_context(log.ending())
        stack.enter_context(time_limit(exp.time_limit))
        if not verbose:
            stack.enter_context(screen.capturing(log.folder / LOG))
        if not ray.is_initialized():  # else this is the start policy of a run
            with phase(screen, log, "ray", "Ray"):
                stack.enter_context(ray_session(verbose))
        preflight(exp, log.folder)
        again = partial(train, verbose=verbose, screen=screen)
        with log.phase("start_policy"):
            start = starting_point(exp, log.folder, again, screen)
        with log.phase("data"):
            source = batches(exp, log.folder, screen)
        _track(exp, log)
        progress = stack.enter_context(Progress(exp, log, start.label, screen))
        with log.phase("launch"):
            fleet = stack.enter_context(
                launch(
                    exp,
                    start.path,
                    served=served(exp, start, log),
                    screen=screen,
                    critic=start.critic,
                )
            )
        log.started()
        fleet.failures, fleet.screen, fleet.recovered = log.failure, screen, log.recovered
        assert fleet.learners is not None
        fleet.learners.recovered = partial(log.recovered, "learner", 0)
        return _loop(fleet, source, progress, resume)


def _track(exp: Experiment, log: RunLog) -> None:
    """Choose where metrics go besides the run directory."""
    log.add_service(lambda: RayGauges(log.folder.name))
    if exp.tracks:
        tracking = exp.tracking
        facts = RunFacts(log.folder, exp.to_json(), tracking.project, tracking.offline)
        log.add_service(lambda: SERVICES[tracking.service](facts))


def _loop(fleet: Fleet, source: Source, progress: Progress, resume: bool) -> dict[str, Any]:
    log = progress.log
    done = progress.restore(fleet, source) if resume else 0
    with phase(progress.screen, log, "push", "first push", "weights to every sampler"):
        progress.pushed(push(fleet, done))
    if resume:
        log.recovered("driver", 0, f"resumed after update {done}", time.time() - log.began)
    if not done:
        _baselines(fleet, progress)
    with progress.updates(done), saved_if_stopped(progress, fleet, source):
        _select(fleet, progress, done)  # if the run had ended between an update and its score
        _updates(fleet, source, progress, done)
    _finals(fleet, progress)
    return progress.finish(fleet)


def _updates(fleet: Fleet, source: Source, progress: Progress, done: int) -> None:
    """Run all updates but the first `done`."""
    exp, log, learners = fleet.experiment, progress.log, fleet.learners
    assert learners is not None
    if done == exp.updates:  # it ended within its last update, or has fewer of them now
        source.close(fleet)
    for update in range(done + 1, exp.updates + 1):
        check_stop()
        with log.phase("sample"):
            batch = source.take(fleet)
        if batch.trained:  # before the update, so that the weights are those that sampled
            progress.inspect(fleet, "training", training_file(update), batch.tables[0])
        with log.phase("learn"):
            sleep_samplers(fleet)
            metrics = learners.update(batch.tables + batch.replayed, batch.data)
        fleet.ledger.trained += batch.trained
        if exp.algorithm.on_policy or progress.evaluation_due(update) or update == exp.updates:
            # Before the next round starts, so that all of its tokens have this version.
            progress.pushed(push(fleet, update))
        progress.updated(update, fleet, batch, metrics)
        _select(fleet, progress, update)
        if update == exp.updates:
            source.close(fleet)
        if progress.save_due(update, learners.unsaved_bytes):
            progress.save(update, fleet, source)


def _baselines(fleet: Fleet, progress: Progress) -> None:
    """Score the random player and the start policy, on the same seeds as every policy."""
    sizes = fleet.experiment.evaluation
    if sizes.random:
        _score(fleet, progress, "random", sizes.episodes, 0, player="random")
    count = sizes.episodes if sizes.start_episodes is None else sizes.start_episodes
    if count:
        _score(fleet, progress, progress.start_label, count, 0)


def _select(fleet: Fleet, progress: Progress, update: int) -> None:
    """Score the policy during training if that is due, on seeds that no final score uses."""
    count = progress.evaluation_due(update)
    if not count:
        return
    label = fleet.experiment.algorithm.name
    title = f"score of update {update}, to select a checkpoint"
    with phase(progress.screen, progress.log, "evaluate", title, total=count):
        score, table = evaluate(fleet, count, label, selecting=True)
    progress.inspect(fleet, "selection", evaluated(label, update), table)
    progress.selected(score, table, update)


def _finals(fleet: Fleet, progress: Progress) -> None:
    """Score the last policy, and the best policy during training if it is another one."""
    exp = fleet.experiment
    _score(fleet, progress, exp.algorithm.name, exp.evaluation.episodes, exp.updates)
    best = progress.best_checkpoint()
    if best is not None:
        update, folder = best
        assert fleet.learners is not None
        fleet.learners.load(folder)
        progress.pushed(push(fleet, exp.updates + 1))
        label = f"{exp.algorithm.name}_best"
        _score(fleet, progress, label, exp.evaluation.episodes, update)


def _score(
    fleet: Fleet, progress: Progress, label: str, count: int, update: int, player: str = ""
) -> None:
    with phase(progress.screen, progress.log, "evaluate", f"score of {label}", total=count):
        score, table = evaluate(fleet, count, label, player)
    if not player:
        progress.inspect(fleet, "evaluation", evaluated(label, update), table)
    progress.scored(label, score, table, update)
