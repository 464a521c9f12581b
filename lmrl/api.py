"""The functions of `import lmrl`: play, load, train and evaluate from Python.

`rollout` and `load` need neither torch nor Ray. `train` and `evaluate` do what the commands of the
same names do, and return what these print with `--json`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lmrl.data.episodes import Episodes
from lmrl.env import TextEnv
from lmrl.episode import Episode, play
from lmrl.errors import UsageError
from lmrl.scoring.score import Score, score_of
from lmrl.seeds import FIRST_EVALUATION_SEED, evaluation_seeds, fresh_seed
from lmrl.tasks import make
from lmrl.trajectory import Trajectory

TextPolicy = Callable[[str], str]
"""A policy that reads and writes text: from what it may see of an episode to an action."""


def rollout(
    env: TextEnv | str,
    policy: TextPolicy | str,
    seed: int | None = None,
    name: str = "",
    options: Mapping[str, Any] | None = None,
) -> Trajectory:
    """Play one episode and return its record.

        trajectory = lmrl.episode("wordle", lambda text: "crane", seed=1)
        print(trajectory.total_reward, len(trajectory.turns))

    Args:
        env: environment, or the name of a task.
        policy: function from text to an action, or the name of a scripted player of the task. The
            text is all that the task lets a policy see: the newest observation in tasks that show
            their whole state, the history in others. The action may lack the text that ends it,
            such as a newline; what follows that text is left out.
        seed: seed of the episode; None draws one, which the trajectory records.
        name: name of the task for the record, if `env` is an environment.
        options: options of the task, for its name, or for the record.

    Raises:
        UsageError: for an unknown task, option or player, or a policy that returns no text.
    """
    if isinstance(env, str):
        name, env = env, make(env, **(options or {}))
    seed = fresh_seed() if seed is None else seed
    name = name or type(env).__name__
    if isinstance(policy, str):
        return play(env, policy, seed, name, options)
    episode = Episode(env, seed, name=name, options=options)
    while not episode.done:
        action = policy(episode.text)
        if not isinstance(action, str):
            raise UsageError(f"the policy returned {action!r}; it has to return a text")
        episode.act(action.partition(env.stop)[0] + env.stop)
    return episode.trajectory(getattr(policy, "__name__", type(policy).__name__))


def load(source: Path | str) -> Episodes:
    """Return the episodes of a data set, or of a folder of a run's `trajectories/`.

        episodes = lmrl.load("runs/demo/trajectories/evaluation")
        episodes.to_pandas().groupby("player")["return"].mean()

    Args:
        source: folder of Parquet files, or one file.

    Raises:
        DataError: if a file is missing, cut off or not ours.
    """
    return Episodes.read(source)


def train(
    preset: str,
    run_dir: Path | str | None = None,
    fields: Mapping[str, Any] | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    verbose: bool = False,
    **changes: Any,
) -> dict[str, Any]:
    """Train a preset to its end, as `lmrl train` does, and return the summary of the run.

        summary = lmrl.train("maze-fo-ppo", updates=12, fields={"learner.optimiser.lr": 3e-4})
        summary["scores"]["ppo"]["return_mean"]

    Args:
        preset: name of a preset; `lmrl train --list` shows them.
        run_dir: run directory; None is `runs/PRESET`.
        fields: values of fields by their dotted names, as `lmrl train PRESET --fields` lists them.
        resume: whether to continue the run in `run_dir`, with its own fields. Those that are given
            change it, as far as `cluster.startup.continuing.MAY_CHANGE` allows.
        overwrite: whether to replace a run that is in `run_dir`.
        verbose: whether to print the logs of libraries and actors.
        changes: values of fields without a dot in their names, such as `updates` and `seed`.

    Raises:
        UsageError: for an unknown name, a wrong value, or a run directory that is in use.
        RunError: if the run has to stop.
    """
    from cluster.fields import assign
    from cluster.presets import preset as named
    from cluster.startup.continuing import go_on, recorded_run
    from cluster.train import train as run
    from lmrl.runs.log import RunLog
    from lmrl.screen import open_screen

    log = RunLog(Path("runs") / preset if run_dir is None else Path(run_dir))
    given = {**(fields or {}), **changes}
    with open_screen(f"lmrl.train {preset}", plain=verbose) as screen:
        if not resume:
            exp = assign(named(preset), given).with_found_model()
            return run(exp, log, False, overwrite, verbose, screen)
        log.check_marked()
        with log.locked():
            exp = assign(recorded_run(log), given)
            go_on(log, exp)
            return run(exp, log, True, verbose=verbose, screen=screen)


def evaluate(
    policy: TextPolicy | Path | str,
    task: str | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    episodes: int | None = None,
    first_seed: int | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
) -> Score:
    """Return the score of a policy on fixed seeds, as `lmrl evaluate` does.

        lmrl.evaluate("optimal", "maze-fo").return_mean
        lmrl.evaluate(lambda text: "move up", "maze-fo", episodes=20)
        lmrl.evaluate("runs/demo/checkpoints/last")

    Args:
        policy: function from text to an action, path of a checkpoint or of a run directory for its
            last checkpoint, or name of a scripted player of the task. A text is a path if it
            exists.
        task: name of the task; None is the one that a checkpoint was trained on.
        options: options of the task. Those given change the options that a checkpoint was trained
            with.
        episodes: number of episodes; None is 200, or that of the checkpoint's run.
        first_seed: seed of the first episode; the others follow it. None is the first evaluation
            seed, or that of the checkpoint's run.
        temperature: sampling temperature of a checkpoint; None is that of its run, or 1.
        max_tokens: largest number of tokens of an action of a checkpoint; None is that of its run,
            or 16.

    Raises:
        UsageError: for an unknown task or player, a path that is not a checkpoint, or an option
            that does not fit the policy.
    """
    if isinstance(policy, Path) or (isinstance(policy, str) and Path(policy).exists()):
        from cluster.evaluation.recorded import score_recorded

        return score_recorded(
            Path(policy),
            task,
            options,
            episodes=episodes,
            first_seed=first_seed,
            temperature=temperature,
            max_tokens=max_tokens,
        )
    for name, value in (("temperature", temperature), ("max_tokens", max_tokens)):
        if value is not None:
            raise UsageError(f"{name} is for checkpoints, and the policy is {policy!r}")
    if task is None:
        raise UsageError("give a task; only a checkpoint records which one it plays")
    count = 200 if episodes is None else episodes
    if count < 1:
        raise UsageError(f"episodes is {count}; give 1 or more")
    first = FIRST_EVALUATION_SEED if first_seed is None else first_seed
    played = [
        rollout(task, policy, seed, options=options) for seed in evaluation_seeds(first, count)
    ]
    return score_of(played, make(task, **(options or {})))
