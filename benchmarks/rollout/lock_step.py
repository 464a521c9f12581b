"""The rival: a lock-step batch loop, as published implementations have it.

    python -m benchmarks.rollout.lock_step CHECKPOINT CASES --repeats 3

A batch of episodes starts together. In each round the engine finishes the actions of all running
episodes, then all of them are stepped. The next batch starts when the last episode has ended. The
engine has the same settings as a sampler's, and there are neither actors nor messages.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from actors.config import SamplerConfig
from actors.engine import VLLMEngine
from actors.messages import Decoding, Request
from benchmarks.rollout.cases import Case
from benchmarks.running import emit, run
from learners.checkpoints.initial import context_of
from lmrl.episode import Episode
from lmrl.seeds import request_seed
from lmrl.tasks import make
from lmrl.tokens.codec import Codec


def play(engine: VLLMEngine, codec: Codec, case: Case, max_context: int) -> dict[str, float]:
    """Play a case and return its seconds, turns and episodes.

    Args:
        engine: engine with a version.
        codec: tokenizer of the policy.
        case: episodes to play.
        max_context: largest number of tokens of a context.
    """
    decoding = Decoding(max_tokens=case.tokens, seed=case.seed)
    turns = 0
    began = time.perf_counter()
    for first in range(0, case.episodes, case.width):
        running: dict[int, Episode] = {}
        for seed in range(first, min(first + case.width, case.episodes)):
            env = make(case.task, **case.options)
            running[seed] = Episode(
                env, case.seed + seed, codec, max_context, case.task, case.options
            )
        while running:
            requests = [
                Request(key, e.context, request_seed(case.seed, e.seed, len(e.turns), 0))
                for key, e in running.items()
            ]
            engine.submit("lock-step", requests, decoding)
            replies: dict[int, Any] = {}
            while engine.busy:
                replies |= {request.key: reply for request, reply in engine.step()}
            for key, reply in replies.items():
                running[key].reply(reply)
                turns += 1
            running = {key: episode for key, episode in running.items() if not episode.done}
    return {
        "seconds": time.perf_counter() - began,
        "turns": turns,
        "episodes": case.episodes,
    }


def main() -> None:
    """Play all cases, and print a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", help="checkpoint directory of the policy")
    parser.add_argument("cases", help="cases as JSON")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each case")
    options = parser.parse_args()
    cases = [Case(**case) for case in json.loads(options.cases)]
    codec = Codec.load(options.checkpoint)
    context = context_of(Path(options.checkpoint))
    stop = codec.format.stop_ids("\n")
    engine = VLLMEngine(options.checkpoint, SamplerConfig(), context, stop, "cpu")
    engine.serve(0)
    for case in cases:
        warm = Case(**{**case.to_json(), "episodes": min(8, case.episodes), "seed": 10**6})
        play(engine, codec, warm, context - case.tokens)
        rows = []
        for repeat in range(options.repeats):
            # Other seeds, so that no repeat finds its contexts in the prefix cache.
            again = Case(**{**case.to_json(), "seed": case.seed + repeat * case.episodes})
            rows.append(play(engine, codec, again, context - case.tokens))
        emit(json.dumps(rows))


if __name__ == "__main__":
    sys.exit(run(main))
