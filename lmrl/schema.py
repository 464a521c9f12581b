"""The Arrow form of `Trajectory`: one row an episode, the same in memory, on the wire, on disk.

Columns are built from flat arrays and offsets, never from nested Python objects, so that a round of
thousands of turns converts in milliseconds. `docs/trajectories.md` documents every column.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from lmrl.errors import DataError
from lmrl.trajectory import NO_SEED, TERMINATED, TRUNCATED, Trajectory, Turn

VERSION = b"lmrl.trajectory.2"

_INTS = pa.list_(pa.int32())
_FLOATS = pa.list_(pa.float32())

TURN = pa.struct(
    [
        pa.field("observation", pa.large_string(), nullable=False),
        pa.field("observation_ids", _INTS, nullable=False),
        pa.field("span", pa.int32(), nullable=False),
        pa.field("action", pa.large_string(), nullable=False),
        pa.field("action_ids", _INTS, nullable=False),
        pa.field("logprobs", _FLOATS, nullable=False),
        pa.field("versions", _INTS, nullable=False),
        pa.field("reward", pa.float64(), nullable=False),
        pa.field("lead", pa.int32(), nullable=False),
        pa.field("cut", pa.bool_(), nullable=False),
        pa.field("malformed", pa.bool_(), nullable=False),
    ]
)

SCHEMA = pa.schema(
    [
        pa.field("task", pa.string(), nullable=False),
        pa.field("options", pa.string(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("turns", pa.list_(pa.field("item", TURN, nullable=False)), nullable=False),
        pa.field("ending", pa.string(), nullable=False),
        pa.field("final", pa.large_string(), nullable=False),
        pa.field("final_ids", _INTS, nullable=False),
        pa.field("final_span", pa.int32(), nullable=False),
        pa.field("player", pa.string(), nullable=False),
        pa.field("tokenizer", pa.string(), nullable=False),
        pa.field("info", pa.string(), nullable=False),
        pa.field("final_lead", pa.int32(), nullable=False),
        pa.field("opening", _INTS, nullable=False),
        pa.field("resuming", _INTS, nullable=False),
    ],
    metadata={b"format": VERSION},
)


PLAIN = (
    "task",
    "options",
    "seed",
    "ending",
    "final",
    "final_span",
    "player",
    "tokenizer",
    "info",
    "final_lead",
)
"""Columns that are neither lists nor structs."""


def to_table(trajectories: Iterable[Trajectory]) -> pa.Table:
    """Return trajectories as one Arrow table.

    Raises:
        DataError: if options or info of an episode cannot be stored as JSON.
    """
    rows = list(trajectories)
    turns = [turn for row in rows for turn in row.turns]
    turn_columns = [
        pa.array([t.observation for t in turns], pa.large_string()),
        _ragged([t.observation_ids for t in turns], pa.int32()),
        pa.array([t.span for t in turns], pa.int32()),
        pa.array([t.action for t in turns], pa.large_string()),
        _ragged([t.action_ids for t in turns], pa.int32()),
        _ragged([t.logprobs for t in turns], pa.float32()),
        _ragged([t.versions for t in turns], pa.int32()),
        pa.array([t.reward for t in turns], pa.float64()),
        pa.array([t.lead for t in turns], pa.int32()),
        pa.array([t.cut for t in turns], pa.bool_()),
        pa.array([t.malformed for t in turns], pa.bool_()),
    ]
    struct = pa.StructArray.from_arrays(turn_columns, fields=list(TURN))
    offsets = _offsets([len(row.turns) for row in rows])
    columns = [
        pa.array([r.task for r in rows], pa.string()),
        pa.array([_json(r, "options", r.options) for r in rows], pa.string()),
        pa.array([r.seed for r in rows], pa.int64()),
        pa.ListArray.from_arrays(offsets, struct, type=SCHEMA.field("turns").type),
        pa.array([r.ending for r in rows], pa.string()),
        pa.array([r.final for r in rows], pa.large_string()),
        _ragged([r.final_ids for r in rows], pa.int32()),
        pa.array([r.final_span for r in rows], pa.int32()),
        pa.array([r.player for r in rows], pa.string()),
        pa.array([r.tokenizer for r in rows], pa.string()),
        pa.array([_json(r, "info", r.info) for r in rows], pa.string()),
        pa.array([r.final_lead for r in rows], pa.int32()),
        _ragged([r.opening for r in rows], pa.int32()),
        _ragged([r.resuming for r in rows], pa.int32()),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _json(row: Trajectory, column: str, values: dict[str, Any]) -> str:
    try:
        return json.dumps(values, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{column} of an episode of {row.task} (seed {row.seed}) cannot be stored as JSON: "
            f"{error}"
        ) from error


def _offsets(lengths: Sequence[int]) -> pa.Array:
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.array(offsets)


def _ragged(parts: Sequence[np.ndarray], kind: pa.DataType) -> pa.ListArray:
    flat = np.concatenate(parts) if parts else np.empty(0)
    return pa.ListArray.from_arrays(
        _offsets([len(p) for p in parts]), pa.array(flat.astype(kind.to_pandas_dtype()), kind)
    )


class _Ragged:
    """Reads a list column row by row as numpy views."""

    def __init__(self, column: pa.ListArray) -> None:
        self.offsets = column.offsets.to_numpy()
        self.values = column.values.to_numpy()

    def __getitem__(self, row: int) -> Any:
        return self.values[self.offsets[row] : self.offsets[row + 1]]


def check(schema: pa.Schema, source: str) -> None:
    """Refuse a table that is not ours.

    Raises:
        DataError: with the source and what is wrong with it.
    """
    if (schema.metadata or {}).get(b"format") != VERSION or not schema.equals(SCHEMA):
        raise DataError(
            f"{source} does not hold trajectories of this version ({VERSION.decode()}); "
            "make it with 'lmrl data generate'"
        )


def from_table(table: pa.Table) -> list[Trajectory]:
    """Return the trajectories of a table; their arrays are views into it.

    Raises:
        DataError: if a reward is not a finite number.
    """
    rows: list[Trajectory] = []
    for batch in table.to_batches():
        rows += _from_batch(batch)
    return rows


def table_returns(table: pa.Table) -> np.ndarray:
    """Return the undiscounted return of every episode `[rows]`.

    Raises:
        DataError: if a reward is not a finite number.
    """
    turns = table["turns"].combine_chunks()
    rewards = turns.values.field("reward").to_numpy().astype(np.float64)
    offsets = turns.offsets.to_numpy()
    _check_rewards(rewards, offsets)
    totals = np.append(0.0, np.cumsum(rewards))
    returns: np.ndarray = totals[offsets[1:]] - totals[offsets[:-1]]
    return returns


def table_groups(table: pa.Table) -> np.ndarray:
    """Return the group of every episode `[rows]`, numbers from 0 in order of appearance.

    Episodes of a group have the same task, options and seed, so they begin in the same state. An
    episode without a seed is a group of its own.
    """
    keys = zip(*(table[name].to_pylist() for name in ("task", "options", "seed")), strict=True)
    numbers: dict[object, int] = {}
    groups = [
        numbers.setdefault(row if key[2] == NO_SEED else key, len(numbers))
        for row, key in enumerate(keys)
    ]
    return np.array(groups, np.int64)


def _check_rewards(rewards: np.ndarray, offsets: np.ndarray) -> None:
    """Refuse rewards that are not finite: they would end in every weight of a policy."""
    inside = rewards[offsets[0] : offsets[-1]]
    if not np.isfinite(inside).all():
        place = int(offsets[0]) + int(np.flatnonzero(~np.isfinite(inside))[0])
        row = int(np.searchsorted(offsets, place, "right")) - 1
        raise DataError(
            f"the reward of turn {place - int(offsets[row]) + 1} of episode {row + 1} of its part "
            f"is {rewards[place]}; rewards have to be finite numbers, so make or import the data "
            "again without this episode"
        )


def _from_batch(batch: pa.RecordBatch) -> list[Trajectory]:
    column = {name: batch.column(name) for name in batch.schema.names}
    nested = column["turns"]
    struct = nested.values
    bounds = nested.offsets.to_numpy()
    field = {f.name: struct.field(i) for i, f in enumerate(TURN)}
    low, high = int(bounds[0]), int(bounds[-1])
    observations = field["observation"].slice(low, high - low).to_pylist()
    actions = field["action"].slice(low, high - low).to_pylist()
    spans = field["span"].to_numpy()
    rewards = field["reward"].to_numpy()
    _check_rewards(rewards, bounds)
    observation_ids, action_ids = _Ragged(field["observation_ids"]), _Ragged(field["action_ids"])
    logprobs, versions = _Ragged(field["logprobs"]), _Ragged(field["versions"])
    leads = field["lead"].to_numpy()
    cut, malformed = (
        field[name].slice(low, high - low).to_pylist() for name in ("cut", "malformed")
    )
    turns = [
        Turn(
            observations[i - low],
            observation_ids[i],
            int(spans[i]),
            actions[i - low],
            action_ids[i],
            logprobs[i],
            versions[i],
            float(rewards[i]),
            int(leads[i]),
            cut[i - low],
            malformed[i - low],
        )
        for i in range(low, high)
    ]
    final_ids, opening, resuming = (
        _Ragged(column[name]) for name in ("final_ids", "opening", "resuming")
    )
    plain = {name: column[name].to_pylist() for name in PLAIN}
    return [
        Trajectory(
            task=plain["task"][row],
            options=_object("options", plain["options"][row]),
            seed=plain["seed"][row],
            turns=tuple(turns[bounds[row] - low : bounds[row + 1] - low]),
            ending=_ending(plain["ending"][row]),
            final=plain["final"][row],
            final_ids=final_ids[row],
            final_span=plain["final_span"][row],
            player=plain["player"][row],
            tokenizer=plain["tokenizer"][row],
            info=_object("info", plain["info"][row]),
            final_lead=plain["final_lead"][row],
            opening=opening[row],
            resuming=resuming[row],
        )
        for row in range(batch.num_rows)
    ]


def _object(column: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise DataError(f"{column} of an episode is {text[:80]!r}, which is not JSON") from error
    if not isinstance(found, dict):
        raise DataError(f"{column} of an episode is {text[:80]!r}, which is not a JSON object")
    return found


def _ending(text: str) -> str:
    if text not in (TERMINATED, TRUNCATED):
        raise DataError(f"ending '{text}' is neither '{TERMINATED}' nor '{TRUNCATED}'")
    return text
