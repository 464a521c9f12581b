"""Service times of a system, with which the model of `benchmarks.scaling.model` computes."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from lmrl.errors import DataError


@dataclass(frozen=True)
class Times:
    """Measured service times. All are in seconds unless the text says otherwise.

    Attributes:
        step: time of an engine step without sequences.
        step_each: additional time of a step for each sequence in it.
        linger: time that a sampler waits for contexts when most of its batch has finished.
        call: CPU time of a simulator's call of a sampler, on both sides.
        turn: CPU time of a turn: step of the task, tokens, messages.
        batch: time of the driver for a batch of finished episodes.
        episode: time of the driver for each episode of it.
        stream: additional time of the driver for each open stream, at each batch.
        poll: time of the driver to ask one actor how it is, once a second.
        learn: time of an update without tokens.
        learn_token: additional time of an update for each sampled token, on one rank.
        bytes: size of the weights, in bytes.
        gather: time to make the buckets of one byte.
        load: time of a sampler to load one byte.
        gate: time of the parity gate.
        link: bandwidth of a node's network, in bytes per second.
        rpc: time of the driver for a call of one actor.
    """

    step: float
    step_each: float
    linger: float = 0.004
    call: float = 0.0
    turn: float = 0.0
    batch: float = 0.0
    episode: float = 0.0
    stream: float = 0.0
    poll: float = 0.0
    learn: float = 0.0
    learn_token: float = 0.0
    bytes: float = 0.0
    gather: float = 0.0
    load: float = 0.0
    gate: float = 0.0
    link: float = 1e9
    rpc: float = 0.0

    def to_json(self) -> dict[str, float]:
        """Return the times by name."""
        return asdict(self)


def read(path: Path) -> Times:
    """Return the service times of a file: a JSON object, or a result that has one as `times`.

    Args:
        path: file.

    Raises:
        DataError: if the file is missing, or has other names or values than numbers.
    """
    try:
        found: Any = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} has no service times: {error}") from error
    found = found.get("times", found) if isinstance(found, dict) else {}
    names = {field.name for field in fields(Times)}
    values = all(isinstance(value, int | float) and value >= 0 for value in found.values())
    if not {"step", "step_each"} <= set(found) <= names or not values:
        raise DataError(
            f"{path} needs numbers of at least 0 named step, step_each and any of "
            f"{', '.join(sorted(names))}"
        )
    return Times(**found)
