"""Speed of a sampler with a simulator, as a ratio to vLLM alone.

    python -m benchmarks.sampler
    python -m benchmarks.sampler --checkpoint runs/demo/checkpoints/last --json

Both sides use the same machine, the same run, and the same episodes. First a simulator actor plays
with a sampler actor, and the contexts are recorded. Then a vLLM engine in this process gets the
same contexts in batches of the same width, without simulator, Ray and waits. The ratio shows the
cost of the actors.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray

from actors.config import SamplerConfig, SimulatorConfig
from actors.engine import VLLMEngine
from actors.messages import Decoding, EpisodeId, Job, Request
from actors.sampler import Sampler
from actors.simulator import Simulator
from benchmarks.record import save
from cluster.presets import preset
from cluster.source import sample_texts
from cluster.startup.ray_session import ray_session
from learners.checkpoints.initial import context_of, make_start
from lmrl.schema import from_table
from lmrl.tokens.codec import Codec
from lmrl.tokens.format import FormatConfig
from lmrl.trajectory import Ids


def through_actors(
    checkpoint: str, task: str, width: int, episodes: int, max_tokens: int
) -> tuple[dict[str, float], list[Ids]]:
    """Return speeds of a simulator that plays with a sampler, and the contexts of the episodes.

    Args:
        checkpoint: checkpoint directory of the policy.
        task: name of the task.
        width: number of episodes that run at one time.
        episodes: number of episodes.
        max_tokens: largest number of tokens of an action.
    """
    context = context_of(Path(checkpoint))
    codec = Codec.load(checkpoint)
    stop = codec.format.stop_ids("\n")
    sampler = Sampler.options(name=f"sampler-{width}").remote(  # type: ignore[attr-defined]
        checkpoint, SamplerConfig(), context, stop, "cpu", 0
    )
    simulator = Simulator.remote(  # type: ignore[attr-defined]
        [f"sampler-{width}"], checkpoint, FormatConfig(), context - max_tokens, SimulatorConfig()
    )
    decoding = Decoding(max_tokens=max_tokens)

    def play(seeds: list[int]) -> list[Any]:
        wanted = [EpisodeId(seed) for seed in seeds]
        job = Job(task, {}, wanted, decoding, at_once=width)
        stream = simulator.play.options(num_returns="streaming").remote(job)
        return from_table(pa.concat_tables([ray.get(ref).table for ref in stream]))

    play(list(range(10**6, 10**6 + 8)))  # warm-up
    before = ray.get(sampler.state.remote())
    began = time.perf_counter()
    played = play(list(range(episodes)))
    seconds = time.perf_counter() - began
    after = ray.get(sampler.state.remote())
    turns = sum(len(t.turns) for t in played)
    contexts = [c for t in played for c in list(t.contexts())[:-1]]
    prompt = after["prompt_tokens"] - before["prompt_tokens"]
    ray.kill(simulator)
    ray.kill(sampler)
    return {
        "turns_per_s": turns / seconds,
        "tokens_per_s": (after["sampled_tokens"] - before["sampled_tokens"]) / seconds,
        "engine_busy": (after["busy_seconds"] - before["busy_seconds"]) / seconds,
        "prefix_hits": (after["cached_tokens"] - before["cached_tokens"]) / prompt,
        "ms_per_step": 1e3
        * (after["busy_seconds"] - before["busy_seconds"])
        / (after["steps"] - before["steps"]),
    }, contexts


def alone(checkpoint: str, contexts: list[Ids], width: int, max_tokens: int) -> float:
    """Return the speed of the engine alone on recorded contexts, in turns/s.

    Args:
        checkpoint: checkpoint directory of the policy.
        contexts: token ids of each context.
        width: number of contexts of a batch.
        max_tokens: largest number of tokens of an action.
    """
    codec = Codec.load(checkpoint)
    engine = VLLMEngine(
        checkpoint,
        SamplerConfig(),
        context_of(Path(checkpoint)),
        codec.format.stop_ids("\n"),
        "cpu",
    )
    engine.serve(0)
    decoding = Decoding(max_tokens=max_tokens)
    began = 0.0
    for start in range(-width, len(contexts), width):
        if start == 0:  # the first batch was a warm-up
            began = time.perf_counter()
        part = contexts[max(start, 0) : max(start, 0) + width]
        engine.submit("x", [Request(i, c, start + i) for i, c in enumerate(part)], decoding)
        while engine.busy:
            engine.step()
    return len(contexts) / (time.perf_counter() - began)


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--checkpoint", type=Path, help="checkpoint directory of the policy (a random model)"
    )
    parser.add_argument("--task", default="maze-fo", help="name of the task")
    parser.add_argument(
        "--widths",
        type=int,
        nargs="+",
        default=[64, 256],
        help="numbers of episodes that run at one time",
    )
    parser.add_argument(
        "--max-tokens", type=int, default=8, help="largest number of tokens of an action"
    )
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = options.checkpoint
        if checkpoint is None:
            checkpoint = Path(folder) / "start"
            exp = preset("maze-fo-ppo")
            make_start(exp.model, sample_texts(exp), checkpoint, seed=0)
        path = str(checkpoint.resolve())
        rows = {}
        with ray_session():
            recorded = {
                width: through_actors(path, options.task, width, width, options.max_tokens)
                for width in options.widths
            }
        for width, (figures, contexts) in recorded.items():
            limit = alone(path, contexts, width, options.max_tokens)
            rows[str(width)] = {
                **{name: round(value, 4) for name, value in figures.items()},
                "engine_alone_turns_per_s": round(limit, 1),
                "ratio": round(figures["turns_per_s"] / limit, 3),
            }
    record = {"task": options.task, "episodes_at_once": rows}
    command = f"python -m benchmarks.sampler --task {options.task} --widths " + " ".join(
        map(str, options.widths)
    )
    result = save("sampler", command, record)
    print(json.dumps(record, indent=2) if options.json else f"{json.dumps(rows)}\n{result}")


if __name__ == "__main__":
    main()
