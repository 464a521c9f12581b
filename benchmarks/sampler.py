"""Speed of a sampler with a simulator, as a ratio to vLLM alone.

    python -m benchmarks.sampler
    python -m benchmarks.sampler --checkpoint runs/demo/checkpoints/last --json

Both sides use the same machine, the same run, and the same requests. First a simulator actor plays
with a sampler actor, and the contexts are recorded. Then vLLM's own `LLM.generate` in this process
gets all of them at once, with the same seeds and the same largest batch, without simulator, Ray and
waits. That is a limit: no request has to wait for the one before it. `logprobs_share` is the share
of the limit's time that the log-probabilities take.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray

from actors.config import SamplerConfig, SimulatorConfig
from actors.engine import VLLMEngine
from actors.messages import Decoding, EpisodeId, Job, Request
from actors.sampler import SamplerActor
from actors.simulator import SimulatorActor
from benchmarks.record import save
from benchmarks.running import emit, run
from cluster.presets import preset
from cluster.source import sample_texts
from cluster.startup.ray_session import ray_session
from learners.checkpoints.initial import context_of, make_start
from lmrl.schema import from_table
from lmrl.seeds import request_seed
from lmrl.tokens.codec import Codec
from lmrl.tokens.format import FormatConfig


def through_actors(
    checkpoint: str, task: str, width: int, episodes: int, max_tokens: int
) -> tuple[dict[str, float], list[Request]]:
    """Return speeds of a simulator that plays with a sampler, and its requests.

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
    sampler = SamplerActor.options(name=f"sampler-{width}").remote(
        checkpoint, SamplerConfig(max_sequences=width), context, stop, "cpu", 0
    )
    simulator = SimulatorActor.remote(
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
    requests = [
        Request(0, context, request_seed(decoding.seed, t.seed, turn, 0))
        for t in played
        for turn, context in enumerate(list(t.contexts())[:-1])
    ]
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
    }, requests


def alone(checkpoint: str, requests: list[Request], width: int, max_tokens: int) -> Any:
    """Return speeds of `LLM.generate` on recorded requests: turns/s with log-probabilities and
    without, and tokens/s.

    Args:
        checkpoint: checkpoint directory of the policy.
        requests: contexts and seeds.
        width: largest number of requests in the engine, as on the other side.
        max_tokens: largest number of tokens of an action.
    """
    codec = Codec.load(checkpoint)
    engine = VLLMEngine(
        checkpoint,
        SamplerConfig(max_sequences=width),
        context_of(Path(checkpoint)),
        codec.format.stop_ids("\n"),
        "cpu",
    )
    engine.serve(0)

    def generate(given: list[Request], salt: str, logprobs: bool) -> tuple[float, int]:
        settings = []
        for request in given:
            settings.append(engine._params(Decoding(max_tokens=max_tokens)))
            settings[-1].seed = request.seed
            if not logprobs:
                settings[-1].logprobs = None
        # Each pass has a prefix cache of its own.
        prompts = [{"prompt_token_ids": r.context.tolist(), "cache_salt": salt} for r in given]
        began = time.perf_counter()
        outputs = engine.llm.generate(prompts, settings, use_tqdm=False)
        seconds = time.perf_counter() - began
        return seconds, sum(len(output.outputs[0].token_ids) for output in outputs)

    generate(requests[:width], "warm-up", True)
    seconds, tokens = generate(requests, "with", True)
    plain, _ = generate(requests, "without", False)
    return {
        "turns_per_s": len(requests) / seconds,
        "tokens_per_s": tokens / seconds,
        "logprobs_share": max(0.0, 1.0 - plain / seconds),
    }


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
    parser.add_argument("--quick", action="store_true", help="one width; no result is written")
    options = parser.parse_args()
    if options.quick:
        options.widths = [16]
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = options.checkpoint
        if checkpoint is None:
            checkpoint = Path(folder) / "start"
            exp = preset("maze-fo-ppo")
            make_start(exp.model, sample_texts(exp), checkpoint, seed=0)
        path = str(checkpoint.resolve())
        rows: dict[str, Any] = {}
        with ray_session():
            recorded = {
                width: through_actors(path, options.task, width, 4 * width, options.max_tokens)
                for width in options.widths
            }
        for width, (figures, requests) in recorded.items():
            limit = alone(path, requests, width, options.max_tokens)
            own: dict[str, Any] = {name: round(value, 4) for name, value in figures.items()}
            rows[str(width)] = own | {
                "alone": {name: round(value, 4) for name, value in limit.items()},
                "ratio": round(figures["turns_per_s"] / limit["turns_per_s"], 3),
            }
    ratio = min(row["ratio"] for row in rows.values())
    result = {
        "ratios": {"sampler path / raw vLLM offline, same requests": ratio},
        "task": options.task,
        "episodes_at_once": rows,
    }
    command = f"python -m benchmarks.sampler --task {options.task} --widths " + " ".join(
        map(str, options.widths)
    )
    if not options.quick:
        save("sampler", command, result)
    emit(json.dumps(result, indent=2) if options.json else json.dumps(rows))


if __name__ == "__main__":
    sys.exit(run(main))
