"""Start the instruct model that answers for a task, inside a run or on its own."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import ray

from actors.chat import ChatConfig, ChatOracle, Patient, chat_model, weights_version
from actors.sampler import Sampler
from learners.convert import resolve
from lmrl.codec import Codec
from lmrl.rollout import play
from lmrl.tasks import make
from lmrl.trajectory import Trajectory


def chat_actors(
    config: ChatConfig, device: str, slots: list[dict[str, Any]]
) -> tuple[ChatConfig, list[Any], str]:
    """Start the samplers that serve a model.

    Args:
        config: of the model.
        device: `cpu` or `cuda`.
        slots: Ray options of each actor.

    Returns:
        The config with the model's directory, the actors, and the version of the weights.
    """
    folder = resolve(config.model)
    config = replace(config, model=str(folder))
    end = Codec.load(folder).end_id
    stops = [] if end is None else [end]
    actors = [
        Sampler.options(**slot).remote(  # type: ignore[attr-defined]
            config.model, config.sampler, config.context, stops, device, 0
        )
        for slot in slots
    ]
    return config, actors, weights_version(folder)


@contextmanager
def serving(config: ChatConfig, timeout: float = 300.0) -> Iterator[Patient]:
    """Yield a model that answers; its actors, if it has any, end with the block.

    Args:
        config: of the model.
        timeout: seconds for its actors to come up.
    """
    if config.endpoint:
        yield chat_model(config, [], "")
        return
    device = "cuda" if ray.cluster_resources().get("GPU", 0) >= config.gpus > 0 else "cpu"
    slot = {"num_cpus": config.cpus, "num_gpus": config.gpus if device == "cuda" else 0}
    config, actors, version = chat_actors(config, device, [slot] * config.sampler.count)
    try:
        ray.get([actor.state.remote() for actor in actors], timeout=timeout)
        yield chat_model(config, actors, version)
    finally:
        for actor in actors:
            ray.kill(actor)


def scripted(
    model: Patient, task: str, options: dict[str, Any], player: str, seeds: Iterable[int]
) -> Iterator[Trajectory]:
    """Yield the episodes of a scripted player against a model, several at a time, in order.

    Raises:
        ReplyTimeout: if the model does not answer.
    """

    def one(seed: int) -> Trajectory:
        env = make(task, **options)
        env = make(task, **options, **{env.oracle_option: ChatOracle(model)})
        return play(env, player, seed, task, options)

    with ThreadPoolExecutor(model.config.at_once) as threads:
        yield from threads.map(one, seeds)
