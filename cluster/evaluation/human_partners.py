"""Checkpoints as the partners of a person: each has one sampler and gives one action at a time."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.messages import Contexts, Decoding, Request
from cluster.config import EvaluationConfig
from cluster.evaluation.checkpoint import serving_experiment
from cluster.health.waits import fetch
from cluster.startup.launch import launch
from cluster.startup.ray_session import ray_session
from cluster.stream import evaluation_job
from lmrl.env import TextEnv
from lmrl.episode import Episode, Reply
from lmrl.human.policies import Game
from lmrl.seeds import request_seed
from lmrl.tokens.codec import Codec


@dataclass(frozen=True)
class ServedPartner:
    """A checkpoint that a sampler serves.

    It samples from the same contexts with the same seeds as `lmrl evaluate`.

    Attributes:
        sampler: actor that serves the checkpoint.
        codec: tokenizer of the checkpoint.
        max_context: largest number of tokens of a context.
        decoding: sampling settings.
        timeout: time limit of one action, in seconds.
    """

    sampler: Any
    codec: Codec
    max_context: int
    decoding: Decoding
    timeout: float

    def start(self, env: TextEnv, seed: int, task: str, options: Mapping[str, Any]) -> Game:
        """Start an episode and return it as a game.

        Args:
            env: task to play.
            seed: seed of the episode.
            task: name of the task, for the record.
            options: options of the task, for the record.
        """
        episode = Episode(env, seed, self.codec, self.max_context, task, options)
        return Game(episode, lambda: episode.reply(self._sample(episode)))

    def _sample(self, episode: Episode) -> Reply:
        request = Request(
            0, episode.context, request_seed(self.decoding.seed, episode.seed, len(episode.turns))
        )
        # Each turn has a client name of its own, so that a late reply to another turn is not used.
        client = f"partner/{episode.seed}/{len(episode.turns)}/{id(episode)}"
        answer = self.sampler.generate.remote(client, Contexts.pack([request]), self.decoding)
        replies = fetch(answer, self.timeout, "the policy's sampler")
        ((_, reply),) = replies.unpack()
        self.sampler.forget.remote(client)
        return reply


@contextmanager
def serving_partners(
    checkpoints: Sequence[str],
    task: str,
    options: Mapping[str, Any],
    temperature: float,
    max_tokens: int,
) -> Iterator[dict[str, ServedPartner]]:
    """Serve several checkpoints at one time, and yield them by their names.

    Together they take the resources that one of them would take alone.

    Args:
        checkpoints: Hugging Face checkpoint directories.
        task: name of the task.
        options: options of the task.
        temperature: sampling temperature; 0 is greedy.
        max_tokens: largest number of tokens of an action.

    Raises:
        UsageError: if a path is not a checkpoint, or a checkpoint does not suit the task.
    """
    # Rounded down: Ray counts resources in ten-thousandths.
    share = 1000 // len(checkpoints) / 1000
    sizes = EvaluationConfig(temperature=temperature)
    plans = {
        name: serving_experiment(Path(name), task, dict(options), sizes, max_tokens, share=share)
        for name in checkpoints
    }
    with ExitStack() as stack:
        stack.enter_context(ray_session())
        served = {}
        for name, exp in plans.items():
            path = Path(name).resolve()
            fleet = stack.enter_context(launch(exp, path, learners=False))
            decoding = evaluation_job(fleet, [], name).decoding
            codec = Codec.load(path, exp.format)
            timeout = exp.simulator.reply_timeout
            served[name] = ServedPartner(
                fleet.samplers[0], codec, exp.max_context, decoding, timeout
            )
        yield served
