"""Where metrics go besides `metrics.jsonl`: TensorBoard always, W&B or trackio if asked for.

A tracker gets the same names and numbers as `metrics.jsonl`. A new one is a class with the methods
of `Tracker` and one line in `SERVICES`.
"""

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from lmrl.errors import UsageError

BUCKETS = 30
"""Number of buckets of a histogram."""


class Tracker(Protocol):
    """A destination of metrics."""

    def scalars(self, update: int, metrics: Mapping[str, float]) -> None:
        """Record numbers of an update by their names."""
        ...

    def histogram(self, update: int, name: str, values: NDArray[np.floating]) -> None:
        """Record the distribution of some values `[values]`, at least one."""
        ...

    def text(self, update: int, name: str, text: str) -> None:
        """Record a text."""
        ...

    def flush(self) -> None:
        """Write what is buffered."""
        ...

    def close(self) -> None:
        """Write what is buffered, and end."""
        ...


class TensorBoard:
    """Event files of TensorBoard, written without torch.

    Args:
        folder: folder of the event files.
    """

    def __init__(self, folder: Path) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.writer = EventFileWriter(str(folder))

    def _add(self, update: int, **value: Any) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._event(update, Summary(value=[Summary.Value(**value)]))

    def _event(self, update: int, summary: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self.writer.add_event(Event(wall_time=time.time(), step=update, summary=summary))

    def scalars(self, update: int, metrics: Mapping[str, float]) -> None:
        """Record numbers of an update by their names, in one event."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        self._event(update, Summary(value=values))

    def histogram(self, update: int, name: str, values: NDArray[np.floating]) -> None:
        """Record the distribution of some values `[values]`, at least one."""
        from tensorboard.compat.proto.summary_pb2 import HistogramProto

        counts, edges = np.histogram(values, BUCKETS)
        found = HistogramProto(
            min=values.min(),
            max=values.max(),
            num=len(values),
            sum=values.sum(),
            sum_squares=np.square(values).sum(),
            bucket_limit=edges[1:].tolist(),
            bucket=counts.tolist(),
        )
        self._add(update, tag=name, histo=found)

    def text(self, update: int, name: str, text: str) -> None:
        """Record a text, which TensorBoard shows as it is."""
        from tensorboard.compat.proto.summary_pb2 import SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING

        plugin = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        # Indented lines are code in Markdown: nothing in the text is read as markup.
        lines = "\n".join(f"    {line}" for line in text.splitlines())
        content = TensorProto(dtype=DT_STRING, string_val=[lines.encode(errors="replace")])
        self._add(update, tag=name, metadata=plugin, tensor=content)

    def flush(self) -> None:
        """Write what is buffered."""
        self.writer.flush()

    def close(self) -> None:
        """Write what is buffered, and end."""
        self.writer.close()


@dataclass(frozen=True)
class RunFacts:
    """What a tracking service is told of a run.

    Attributes:
        folder: run directory.
        config: content of its `config.json`.
        project: name of the project in the service.
        offline: whether nothing is sent; the service's own command can send it later.
    """

    folder: Path
    config: Mapping[str, Any]
    project: str
    offline: bool

    @property
    def run_id(self) -> str:
        """Identifier of the run, the same when it is resumed."""
        path = str(self.folder.resolve())
        return f"{self.folder.name}-{hashlib.sha256(path.encode()).hexdigest()[:8]}"


class WandB:
    """Weights & Biases; its files are in `wandb/` of the run directory.

    Args:
        run: facts about the run.
    """

    def __init__(self, run: RunFacts) -> None:
        import wandb

        self.wandb = wandb
        self.run = wandb.init(
            project=run.project,
            name=run.folder.name,
            id=run.run_id,
            resume="allow",
            dir=str(run.folder),
            config=dict(run.config),
            mode="offline" if run.offline else "online",
            settings=wandb.Settings(console="off", silent=True),
        )

    def scalars(self, update: int, metrics: Mapping[str, float]) -> None:
        """Record numbers of an update by their names."""
        self.run.log(dict(metrics), step=update)

    def histogram(self, update: int, name: str, values: NDArray[np.floating]) -> None:
        """Record the distribution of some values `[values]`, at least one."""
        self.run.log({name: self.wandb.Histogram(values.tolist())}, step=update)

    def text(self, update: int, name: str, text: str) -> None:
        """Record a text as a table with one cell."""
        table = self.wandb.Table(columns=["text"], data=[[text]])
        self.run.log({name: table}, step=update)

    def flush(self) -> None:
        """Nothing to do: the library writes by itself."""

    def close(self) -> None:
        """Write what is buffered, and end."""
        self.run.finish()


class Trackio:
    """Trackio, which keeps runs in a local database; its files are in `trackio/` of the run.

    Args:
        run: facts about the run.
    """

    def __init__(self, run: RunFacts) -> None:
        # The library reads this when it is imported.
        os.environ.setdefault("TRACKIO_DIR", str(run.folder.resolve() / "trackio"))
        import trackio

        self.trackio = trackio
        self.run = trackio.init(
            project=run.project,
            name=run.run_id,
            config=dict(run.config),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def scalars(self, update: int, metrics: Mapping[str, float]) -> None:
        """Record numbers of an update by their names."""
        self.run.log(dict(metrics), step=update)

    def histogram(self, update: int, name: str, values: NDArray[np.floating]) -> None:
        """Record the distribution of some values `[values]`, at least one."""
        self.run.log({name: self.trackio.Histogram(values)}, step=update)

    def text(self, update: int, name: str, text: str) -> None:
        """Record a text."""
        self.run.log({name: self.trackio.Markdown(f"```\n{text}\n```")}, step=update)

    def flush(self) -> None:
        """Nothing to do: the library writes by itself."""

    def close(self) -> None:
        """Write what is buffered, and end."""
        self.run.finish()


Service = Literal["none", "wandb", "trackio"]
"""Name of a tracking service."""

SERVICES: Mapping[str, Callable[[RunFacts], Tracker]] = {"wandb": WandB, "trackio": Trackio}
"""Tracking services by name."""


def check_service(service: Service) -> None:
    """Refuse a tracking service whose library is missing.

    Raises:
        UsageError: with the command that installs it.
    """
    if find_spec(service) is None:
        raise UsageError(
            f"tracking.service is {service}, and that library is not installed: pip install "
            f"'lmrl[{service}]'"
        )
