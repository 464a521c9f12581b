"""Data sets on disk: whole or not at all, streamed, and refused when they are not ours."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmrl import make
from lmrl.data.describe import describe
from lmrl.data.generate import episodes
from lmrl.data.store import files, load, write
from lmrl.errors import DataError, UsageError
from lmrl.schema import to_table
from lmrl.scoring.tables import data_set
from lmrl.trajectory import Trajectory, transcript


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    made = episodes(make("maze-po"), "maze-po", 25, 0, "random", {})
    assert write(made, folder, shard=10) == 25
    return folder


def test_the_stored_order_is_kept(data: Path) -> None:
    assert [p.name for p in files(data)] == [f"part-0000{i}.parquet" for i in range(3)]
    assert [t.seed for t in load(data)] == list(range(25))


def test_shuffling_follows_the_seed_and_loses_nothing(data: Path) -> None:
    first = [t.seed for t in load(data, seed=1, buffer=4)]
    assert first == [t.seed for t in load(data, seed=1, buffer=4)]
    assert first != [t.seed for t in load(data, seed=2, buffer=4)]
    assert sorted(first) == list(range(25))


def test_an_endless_stream_passes_over_everything_each_time(data: Path) -> None:
    stream = load(data, seed=1, loop=True)
    passes = [sorted(next(stream).seed for _ in range(25)) for _ in range(3)]
    assert passes == [list(range(25))] * 3


def test_a_cut_file_is_refused_by_name(data: Path) -> None:
    victim = data / "part-00001.parquet"
    victim.write_bytes(victim.read_bytes()[:200])
    with pytest.raises(DataError, match=r"part-00001\.parquet is cut off"):
        next(load(data))


def test_a_table_of_others_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(DataError, match="does not hold trajectories"):
        next(load(tmp_path))
    with pytest.raises(DataError, match="no data set at"):
        next(load(tmp_path / "nothing"))


@pytest.mark.parametrize("column", ["options", "info"])
@pytest.mark.parametrize(("text", "words"), [("{", "is not JSON"), ("[1]", "is not a JSON object")])
def test_a_column_that_is_no_object_is_refused(
    data: Path, column: str, text: str, words: str
) -> None:
    table = pq.read_table(data / "part-00000.parquet")
    place = table.schema.get_field_index(column)
    bad = pa.array([text] * table.num_rows, pa.string())
    pq.write_table(
        table.set_column(place, table.schema.field(column), bad), data / "part-00000.parquet"
    )
    with pytest.raises(DataError, match=rf"part-00000\.parquet: {column} of .* {words}"):
        next(load(data))


def test_success_and_actions_are_described(tmp_path: Path) -> None:
    env = make("guess-my-city")
    write(episodes(env, "guess-my-city", 30, 0, "mixture", {}), tmp_path)
    facts = describe(tmp_path)
    assert 0.1 < facts["success"]["guess-my-city"] < 0.9
    assert facts["actions"]["questions"] == 1.0
    assert 0.05 < facts["actions"]["open_questions"] < 0.5
    assert 0.2 < facts["actions"]["distinct"] < 1.0
    assert "% distinct" in data_set(facts) and "success  guess-my-city" in data_set(facts)


def test_a_data_set_without_episodes_is_not_described(tmp_path: Path) -> None:
    pq.write_table(to_table([]), tmp_path / "none.parquet")
    with pytest.raises(DataError, match="has no episode"):
        describe(tmp_path)


def test_a_crash_while_writing_leaves_no_file(tmp_path: Path) -> None:
    def broken() -> Iterator[Trajectory]:
        yield from episodes(make("maze-fo"), "maze-fo", 3, 0, "random", {})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(broken(), tmp_path / "data", shard=10)
    assert list((tmp_path / "data").iterdir()) == []


def test_a_transcript_cannot_drive_a_terminal(data: Path) -> None:
    trajectory = next(load(data))
    text = transcript(trajectory)
    assert f"seed {trajectory.seed}" in text and "\x1b" not in text
    from lmrl.trajectory import printable

    assert printable("a\x1b[2Jb\n") == "a\\x1b[2Jb"


def test_options_that_a_task_lacks_are_refused() -> None:
    with pytest.raises(UsageError, match="last_k"):
        make("maze-fo", last_l=3)
    assert json.dumps(make("maze-fo", last_k=7).window) == "7"
