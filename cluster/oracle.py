"""Start the instruct model that answers for a task, inside a run or on its own."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import ray

from actors.chat.config import ChatConfig
from actors.chat.model import ChatOracle, RetryingChatModel, chat_model
from actors.chat.served import weights_version
from actors.sampler import SamplerActor
from cluster.health.waits import fetch
from learners.checkpoints.gguf import resolve
from learners.checkpoints.initial import context_of
from lmrl.env import TextEnv
from lmrl.episode import play
from lmrl.tasks import make, make_answered
from lmrl.tokens.codec import Codec
from lmrl.trajectory import Trajectory


def chat_actors(
    config: ChatConfig, device: str, slots: list[dict[str, Any]]
) -> tuple[ChatConfig, list[Any], str]:
    """Start the samplers that serve a model.

    Args:
        config: settings of the model.
        device: `cpu` or `cuda`.
        slots: Ray options of each actor.

    Returns:
        Settings with the model's directory, the actors, and the version of the weights.

    Raises:
        UsageError: if there is no such model.
    """
    folder = resolve(config.model)
    config = replace(config, model=str(folder), context=min(config.context, context_of(folder)))
    end = Codec.load(folder).end_id
    stops = [] if end is None else [end]
    actors = [
        SamplerActor.options(**slot).remote(
            config.model, config.sampler, config.context, stops, device, 0
        )
        for slot in slots
    ]
    return config, actors, weights_version(folder)


@contextmanager
def serving_oracle(config: ChatConfig, timeout: float = 300.0) -> Iterator[RetryingChatModel]:
    """Yield a model that is ready to reply; its actors, if it has any, end with the block.

    Args:
        config: settings of the model.
        timeout: time limit for the start of its actors, in seconds.
    """
    with serving_oracle_at(config, timeout) as at:
        yield at(config.temperature)


@contextmanager
def serving_oracle_at(
    config: ChatConfig, timeout: float = 300.0
) -> Iterator[Callable[[float], RetryingChatModel]]:
    """Yield a function from a temperature to a model that is ready to reply.

    All these models use the same actors, which end with the block.

    Args:
        config: settings of the model.
        timeout: time limit for the start of its actors, in seconds.
    """
    if config.endpoint:
        yield lambda temperature: chat_model(replace(config, temperature=temperature), [], "")
        return
    device = "cuda" if ray.cluster_resources().get("GPU", 0) >= config.gpus > 0 else "cpu"
    slot = {"num_cpus": config.cpus, "num_gpus": config.gpus if device == "cuda" else 0}
    served, actors, version = chat_actors(config, device, [slot] * config.sampler.count)
    try:
        fetch([actor.state.remote() for actor in actors], timeout, "the sampler of the model")
        yield lambda temperature: chat_model(
            replace(served, temperature=temperature), actors, version
        )
    finally:
        for actor in actors:
            ray.kill(actor)


def answered(task: str, options: Mapping[str, Any], oracle: RetryingChatModel | None) -> TextEnv:
    """Return a task in which a model answers; None keeps the task's own scripted oracle."""
    if oracle is None:
        return make(task, **options)
    return make_answered(task, options, ChatOracle(oracle))


def scripted(
    model: RetryingChatModel, task: str, options: dict[str, Any], player: str, seeds: Iterable[int]
) -> Iterator[Trajectory]:
    """Yield the episodes of a scripted player in a task in which a model answers.

    Several episodes are played at one time; they are yielded in order of `seeds`.

    Args:
        model: model that answers.
        task: name of the task.
        options: options of the task.
        player: name of the scripted player.
        seeds: seeds of the episodes.

    Raises:
        ReplyTimeout: if the model does not answer.
    """

    def one(seed: int) -> Trajectory:
        return play(answered(task, options, model), player, seed, task, options)

    with ThreadPoolExecutor(model.config.at_once) as threads:
        yield from threads.map(one, seeds)
