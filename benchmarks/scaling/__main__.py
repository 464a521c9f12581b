"""Scaling of the system: the control plane measured, the whole system predicted and checked.

    python -m benchmarks.scaling
    python -m benchmarks.scaling --quick --json
    python -m benchmarks.scaling --times times.json --predict

- The control plane: real simulators, samplers, streams and messages, with engines replaced by
  timers of the service time that this machine's engine needs (GPT-2 4x256, vocabulary 50,257).
- The model: a discrete-event model, calibrated from rounds of one sampler and one training run,
  and checked against every other measured point.
- The prediction: weak and strong scaling to 4,096 samplers, the saturated stage, and the best
  number of samplers for each learner rank.

It writes `results/scaling.json`. With `--predict` it only predicts, from service times of another
machine. On a cluster the same command runs as a job, see docs/scaling.md.
"""

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil

from benchmarks.running import arguments, emit, finish, process, run, spread
from benchmarks.running.models import make_gpt2
from benchmarks.scaling import prediction
from benchmarks.scaling.control_plane import Plane, costs, measure
from benchmarks.scaling.model import System, simulate
from benchmarks.scaling.runs import PRESET, learner_times, make_policy, train
from benchmarks.scaling.times import Times, read
from cluster.presets import preset
from cluster.source import sample_texts
from cluster.startup.ray_session import ray_session

TURNS, TOKENS = 12, 16


def engine_times(checkpoint: Path, tokens: int, repeats: int, threads: int = 0) -> Any:
    """Return `step` and `step_each` of an engine, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.scaling.steps", str(checkpoint)]
    command += ["--tokens", str(tokens), "--repeats", str(repeats), "--threads", str(threads)]
    return json.loads(process(command))


def control_plane(options: argparse.Namespace, home: Path, policy: Path) -> dict[str, Any]:
    """Measure the control plane at all sizes, and compare each with the model's prediction."""
    wide = home / "wide"
    make_gpt2(wide, sample_texts(preset(PRESET)))
    engine = engine_times(wide, TOKENS, options.repeats, options.threads)
    times = Times(engine["step"], engine["step_each"])
    points: list[dict[str, Any]] = []
    left_out: list[dict[str, Any]] = []
    with ExitStack() as stack:
        stack.enter_context(ray_session())
        calibrated = None
        for per_sampler in options.per_sampler:
            plane = Plane(preset(PRESET), policy, times, per_sampler)
            base = System(
                samplers=1,
                episodes=0,
                per_sampler=per_sampler,
                at_once=options.at_once,
                turns=TURNS,
                long_tailed=False,
                tokens=TOKENS,
                cores=psutil.cpu_count() or 1,
                seed=options.seed,
            )
            for samplers in sorted(options.samplers):
                if not plane.grow(samplers):
                    left_out.append({"samplers": samplers, "per_sampler": per_sampler})
                    continue
                if calibrated is None:
                    calibrated, rounds = costs(plane, base)
                episodes = 2 * options.at_once * samplers
                system = replace(base, samplers=samplers, episodes=episodes)
                points.append(point(plane, system, calibrated, options.repeats, points))
                print(json.dumps(points[-1]), file=sys.stderr, flush=True)
            plane.end()
    assert calibrated is not None
    return {
        "engine": engine,
        "times": calibrated.to_json(),
        "calibration_rounds": rounds,
        "points": points,
        "left_out_for_memory": left_out,
    }


def point(
    plane: Plane, system: System, times: Times, repeats: int, points: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return a measured point with the model's prediction of it.

    Args:
        plane: actors.
        system: sizes of the point.
        times: calibrated service times.
        repeats: number of measurements.
        points: points so far; the efficiency is relative to the first of the same kind.
    """
    rows = [measure(plane, system) for _ in range(repeats)]
    outcome = simulate(times, system)
    rates = [row["turns_per_s"] for row in rows]
    rate = median(rates)
    first = [p for p in points if p["per_sampler"] == system.per_sampler]
    one = first[0]["turns_per_s"]["median"] / first[0]["samplers"] if first else rate
    seconds = sum(row["seconds"] for row in rows)
    return {
        "samplers": system.samplers,
        "per_sampler": system.per_sampler,
        "turns_per_s": spread(rates),
        "efficiency": rate / system.samplers / one if first else 1.0,
        "cores_busy": sum(row["actors_cpu_seconds"] + row["driver_cpu_seconds"] for row in rows)
        / seconds
        / system.cores,
        "driver_busy": sum(row["driver_cpu_seconds"] for row in rows) / seconds,
        "predicted_turns_per_s": outcome.turns_per_s,
        "predicted_saturated": outcome.saturated,
        "error": abs(outcome.turns_per_s / rate - 1.0),
    }


def whole_system(
    options: argparse.Namespace, home: Path, policy: Path, plane: dict[str, Any]
) -> dict[str, Any]:
    """Train without and with episodes ahead, calibrate from the first run, predict the second."""
    engine = engine_times(policy, 8, options.repeats, threads=1)
    times = replace(Times(**plane["times"]), step=engine["step"], step_each=engine["step_each"])
    points: list[dict[str, Any]] = []
    for staleness in options.staleness:
        found = train(policy, home / f"run-{staleness}", staleness, options.updates, options.seed)
        if not points:
            times = learner_times(times, found)
        outcome = simulate(times, found.system(options.updates))
        # As in `Measured`, the first update, which waits for all rounds ahead, is left out.
        predicted = float(np.median(np.diff(outcome.updates)))
        points.append(
            {
                **asdict(found),
                "seconds": found.seconds,
                "predicted_seconds": predicted,
                "error": abs(predicted / found.seconds - 1.0),
            }
        )
        print(json.dumps(points[-1]), file=sys.stderr, flush=True)
    return {"engine": engine, "times": times.to_json(), "points": points}


def predicted(times: Times, options: argparse.Namespace) -> dict[str, Any]:
    """Return the model's predictions."""
    one = System(
        samplers=1,
        episodes=64,
        at_once=64,
        turns=6,
        tokens=8,
        staleness=1,
        updates=3,
        ranks=1,
        mtbf=options.mtbf,
        seed=options.seed,
    )
    sizes = [n for n in (1, 4, 16, 64, 256, 1024, 4096) if n <= options.largest]
    rows = prediction.weak(times, one, sizes)
    below = [row for row in rows if row["efficiency"] < 0.9]
    units = min(64, options.largest)
    system = replace(one, episodes=64 * units, samplers=units)
    return {
        "system": asdict(one),
        "weak": rows,
        "strong": prediction.strong(times, replace(one, episodes=16), sizes),
        "division": prediction.best_division(times, system, units),
        "breaks_first": {
            "samplers": below[0]["samplers"],
            "stage": below[0]["saturated"],
        }
        if below
        else None,
    }


def main(options: argparse.Namespace, command: str) -> None:
    """Measure, predict, and write the result."""
    if options.predict:
        figures = {"ratios": {}, "prediction": predicted(read(options.times), options)}
        emit(json.dumps(figures, indent=2))
        return
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        policy = home / "policy"
        make_policy(policy)
        plane = control_plane(options, home, policy)
        whole = whole_system(options, home, policy, plane)
    times = Times(**whole["times"]) if options.times is None else read(options.times)
    plain = [p for p in plane["points"] if p["per_sampler"] == options.per_sampler[0]]
    checked = plane["points"] + whole["points"]
    figures = {
        "ratios": {
            f"control-plane efficiency, {plain[-1]['samplers']} samplers / 1": plain[-1][
                "efficiency"
            ],
            "error of the scaling model on measured points": max(p["error"] for p in checked),
        },
        "control_plane": plane,
        "whole_system": whole,
        "times": times.to_json(),
        "prediction": predicted(times, options),
    }
    finish("scaling", command, figures, options)


def read_options() -> tuple[argparse.Namespace, str]:
    """Return the options, and the command for the record."""
    parser = arguments(__doc__)
    parser.add_argument(
        "--samplers", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64], help="numbers"
    )
    parser.add_argument(
        "--per-sampler", type=int, nargs="+", default=[1, 4], help="simulators of each sampler"
    )
    parser.add_argument(
        "--at-once", type=int, default=4, help="episodes of a sampler that run at one time"
    )
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each point")
    parser.add_argument(
        "--threads", type=int, default=0, help="threads of the engine; 0 is one for each core"
    )
    parser.add_argument("--updates", type=int, default=8, help="updates of the training runs")
    parser.add_argument("--staleness", type=int, nargs="+", default=[0, 2], help="of these runs")
    parser.add_argument("--largest", type=int, default=4096, help="samplers of the prediction")
    parser.add_argument(
        "--mtbf", type=float, default=0.0, help="seconds between failures of a sampler; 0 has none"
    )
    parser.add_argument("--times", type=Path, help="file of service times for the prediction")
    parser.add_argument("--predict", action="store_true", help="only predict, from --times")
    options = parser.parse_args()
    if options.predict and options.times is None:
        parser.error("--predict needs --times")
    if options.quick:
        options.samplers, options.per_sampler = [1, 4], [1]
        options.repeats, options.updates, options.largest, options.threads = 1, 4, 64, 1
    command = (
        f"python -m benchmarks.scaling --samplers {' '.join(map(str, options.samplers))} "
        f"--per-sampler {' '.join(map(str, options.per_sampler))} --at-once {options.at_once} "
        f"--repeats {options.repeats} --updates {options.updates} --largest {options.largest} "
        f"--mtbf {options.mtbf:g} --threads {options.threads} --seed {options.seed}"
    )
    return options, command


if __name__ == "__main__":
    sys.exit(run(partial(main, *read_options())))
