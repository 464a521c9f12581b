"""Properties that hold for every input, checked on inputs that hypothesis makes up."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learners.collate import collate
from learners.micro_batch import MicroBatch, micro_batches
from lmrl.data import json_rows
from lmrl.data.store import load, write
from lmrl.errors import DataError
from lmrl.schema import from_table, to_table
from lmrl.tokens.codec import Codec
from lmrl.tokens.replies import read_action
from lmrl.tokens.tokenizer import END_OF_TEXT, train_tokenizer
from lmrl.trajectory import TERMINATED, TRUNCATED, Trajectory, Turn

quick = settings(max_examples=40, deadline=None, derandomize=True)

texts = st.text(st.characters(codec="utf-8"), max_size=40)
"""Texts without halves of surrogate pairs, which no file can store."""
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
facts = st.dictionaries(texts, json_values, max_size=3)


# -- codec ----------------------------------------------------------------------------------------

LOOK_ALIKES = (END_OF_TEXT, "<|im_start|>", "<|im_end|>", "</s>", "<s>", "[INST]", "<eos>")
LINES = ("c r a n e\n", "b y g b b\n", "move up\n")


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    """Return a codec with tokens of single bytes, of pieces of words and of whole lines."""
    folder = tmp_path_factory.mktemp("codec")
    train_tokenizer([*LINES * 3, "it's 12 o'clock, naïve 漢字 😀\n"], 320, folder, lines=2)
    return Codec.load(folder)


spoken_texts = st.lists(
    texts | st.sampled_from([*LOOK_ALIKES, *LINES, " ", "\n", "\r\n", " 's", "\u00a0", "e\u0301"])
).map("".join)


@quick
@given(text=spoken_texts)
def test_every_text_comes_back_from_its_tokens(codec: Codec, text: str) -> None:
    ids = codec.encode(text)
    assert codec.decode(ids) == text
    assert codec.end_id not in ids.tolist()


@quick
@given(parts=st.lists(spoken_texts, max_size=4))
def test_parts_encoded_alone_are_the_whole_text(codec: Codec, parts: list[str]) -> None:
    ids = np.concatenate([codec.encode(part) for part in ["", *parts]])
    assert codec.decode(ids) == "".join(parts)


# -- episodes -------------------------------------------------------------------------------------


def ids(least: int, most: int = 3, largest: int = 2**31 - 1) -> st.SearchStrategy[np.ndarray]:
    """Return token ids of int32."""
    values = st.lists(st.integers(0, largest), min_size=least, max_size=most)
    return values.map(lambda found: np.array(found, np.int32))


@st.composite
def turns(draw: st.DrawFn, span: int, least: int, largest: int) -> Turn:
    """Return one turn; `least` is the smallest number of tokens of an item."""
    action = draw(ids(least, largest=largest))
    count = len(action)
    numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
    logprobs = draw(st.lists(numbers, min_size=count, max_size=count))
    versions = draw(st.lists(st.integers(-1, 2**31 - 1), min_size=count, max_size=count))
    return Turn(
        observation=draw(texts),
        observation_ids=draw(ids(least, largest=largest)),
        span=span,
        action=draw(texts),
        action_ids=action,
        logprobs=np.array(logprobs, np.float32),
        versions=np.array(versions, np.int32),
        reward=draw(st.floats(allow_nan=False, allow_infinity=False, width=32)),
    )


@st.composite
def trajectories(
    draw: st.DrawFn, least_turns: int = 0, least: int = 0, largest: int = 2**31 - 1
) -> Trajectory:
    """Return an episode.

    Args:
        least_turns: smallest number of turns.
        least: smallest number of tokens of an item.
        largest: largest token id.
    """
    count = draw(st.integers(least_turns, 5))
    # A context holds all items, or a random number of the newest; both ends are observations.
    whole = draw(st.booleans())
    spans = [2 * i + 1 if whole else 2 * draw(st.integers(0, i)) + 1 for i in range(count + 1)]
    return Trajectory(
        task=draw(texts),
        options=draw(facts),
        seed=draw(st.integers(-1, 2**63 - 1)),
        turns=tuple(draw(turns(span, least, largest)) for span in spans[:-1]),
        ending=draw(st.sampled_from([TERMINATED, TRUNCATED])),
        final=draw(texts),
        final_ids=draw(ids(least, largest=largest)),
        final_span=spans[-1],
        player=draw(texts),
        tokenizer=draw(texts),
        info={k: v for k, v in draw(facts).items() if k != "executed"},
    )


def plain(trajectory: Trajectory) -> list[object]:
    """Return all that a trajectory holds, comparable with `==`; arrays with their type."""

    def value(entry: object) -> object:
        return (entry.dtype.name, entry.tolist()) if isinstance(entry, np.ndarray) else entry

    fields = [getattr(trajectory, name) for name in Trajectory.__slots__ if name != "turns"]
    return [
        [value(field) for field in fields],
        [[value(getattr(turn, name)) for name in Turn.__slots__] for turn in trajectory.turns],
    ]


@quick
@given(found=st.lists(trajectories(), max_size=4), cut=st.integers(0, 3))
def test_every_episode_comes_back_from_its_table(found: list[Trajectory], cut: int) -> None:
    table = to_table(found)
    assert [plain(t) for t in from_table(table)] == [plain(t) for t in found]
    # A part of a table shares the arrays of the whole.
    assert [plain(t) for t in from_table(table.slice(cut))] == [plain(t) for t in found[cut:]]


@quick
@given(found=st.lists(trajectories(least_turns=1), min_size=1, max_size=4), shard=st.integers(1, 3))
def test_every_episode_comes_back_from_its_file(
    tmp_path_factory: pytest.TempPathFactory, found: list[Trajectory], shard: int
) -> None:
    folder = tmp_path_factory.mktemp("data")
    assert write(found, folder, shard=shard) == len(found)
    assert [plain(t) for t in load(folder)] == [plain(t) for t in found]


# -- batches --------------------------------------------------------------------------------------

batches = st.lists(trajectories(least_turns=1, least=1, largest=1), min_size=1, max_size=5)
"""Episodes of two different tokens, so that equal rows are common."""


@quick
@given(found=batches, strided=st.booleans(), bootstrap=st.sampled_from(["reply", "action"]))
def test_a_batch_has_every_action_token_once_and_every_row_once(
    found: list[Trajectory], strided: bool, bootstrap: str
) -> None:
    batch = collate(found, strided=strided, bootstrap=bootstrap)  # type: ignore[arg-type]
    said = [token for t in found for turn in t.turns for token in turn.action_ids.tolist()]
    assert batch.token.tolist() == said
    owners = [i for i, t in enumerate(found) for _ in range(t.action_tokens)]
    assert batch.episode.tolist() == owners
    rows = [tuple(row.tolist()) for row in batch.rows]
    assert len(set(rows)) == len(rows)
    assert set(batch.segment_row.tolist()) == set(range(len(rows)))
    for entry in range(batch.entries):
        row, position = rows[batch.segment_row[batch.segment[entry]]], batch.position[entry]
        assert 0 <= position < len(row)
        if entry < batch.actions:
            assert row[position + 1] == batch.token[entry]
    places = list(zip(batch.segment.tolist(), batch.position.tolist(), strict=True))
    assert len(set(places[: batch.actions])) == batch.actions
    cut = [t for t in found if t.ending == TRUNCATED]
    assert batch.entries - batch.actions == len(cut)


@quick
@given(
    found=batches,
    budget=st.integers(1, 60),
    at_least=st.integers(1, 12),
    bootstraps=st.booleans(),
    part=st.floats(0, 1),
)
def test_the_number_of_passes_does_not_change_what_is_served(
    found: list[Trajectory], budget: int, at_least: int, bootstraps: bool, part: float
) -> None:
    batch = collate(found, observations=True)
    chosen = np.arange(round(part * batch.segments))

    def served(passes: list[MicroBatch]) -> list[tuple[int, tuple[int, ...], bool, int]]:
        found = []
        for p in passes:
            for entry, state, token, is_action in zip(
                p.entry.tolist(), p.entry_state.tolist(), p.entry_token, p.is_action, strict=True
            ):
                before = p.tokens[p.state_row[state], : p.state_position[state] + 1]
                found.append((entry, tuple(before.tolist()), bool(is_action), int(token)))
        return sorted(found)

    whole = micro_batches(batch, chosen, budget=2**31, bootstraps=bootstraps)
    cut = micro_batches(batch, chosen, budget, at_least, bootstraps)
    assert len(whole) == 1 and len(cut) >= at_least
    assert served(cut) == served(whole)
    count = batch.entries if bootstraps else batch.actions
    expected = [n for n in range(count) if batch.segment[n] < len(chosen)]
    assert [entry for entry, *_ in served(cut)] == expected
    seen = Counter(n for p in cut for n in p.observation.tolist())
    assert seen == Counter(np.flatnonzero(batch.observation_segment < len(chosen)).tolist())
    assert all(p.tokens.size <= budget or len(p.tokens) == 1 for p in cut)


# -- replies and rows from elsewhere --------------------------------------------------------------

MARKS = (
    "<think>", "</think>", "<answer>", "</answer>", "<|im_start|>assistant", "<|im_end|>", "</s>",
    "\\boxed{", "\\text{", "}", "```", "**", "`", '"', "“", "”", "Action:", "Thought:", "1. ", "- ",
    "\n", "\r", "\r\n", "\u2028", "move up", "(nothing)",
)  # fmt: skip


@settings(quick, max_examples=200)
@given(reply=st.text(max_size=30) | st.lists(st.sampled_from(MARKS) | texts).map("".join))
def test_an_action_is_one_line_of_any_reply(reply: str) -> None:
    action = read_action(reply)
    assert action == action.strip()
    assert not set(action) & set("\r\n")


PIECES = (
    b"[", b"]", b"{", b"}", b'"', b":", b",", b"\\u", b"\\ud83d", b"\\ude00", b"1", b"-", b"e999",
    b"null", b"NaN", b"Infinity", b"\n", b" ", b"\xef\xbb\xbf", b"\xff", b"\x80\x04", b'"a"', b"{}",
)  # fmt: skip
half_json = st.lists(st.binary(max_size=8) | st.sampled_from(PIECES), max_size=12).map(b"".join)
Reader = Callable[[Path], Iterator[json_rows.Field]]
readers = pytest.mark.parametrize("read", [json_rows.rows, json_rows.lines, json_rows.entries])


@readers
@settings(quick, max_examples=200)
@given(content=st.binary(max_size=40) | half_json | json_values.map(json.dumps).map(str.encode))
def test_bytes_are_rows_or_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, read: Reader, content: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "bytes.json"
    file.write_bytes(content)
    try:
        found = list(read(file))
    except DataError as error:
        assert str(file) in str(error)
        return
    for row in found:
        for take in (row.text, row.number, row.whole, row.flag, row.items):
            try:
                take()
            except DataError as error:
                assert str(file) in str(error)


@readers
@pytest.mark.parametrize(
    "content", [b"\xff\xfd", b"\xff\xfe{", b"[" * 100_000, b"1" * 5000, b'["', b"\x00"]
)
def test_bytes_that_are_no_json_are_refused(tmp_path: Path, read: Reader, content: bytes) -> None:
    file = tmp_path / "bytes.json"
    file.write_bytes(content)
    with pytest.raises(DataError):
        list(read(file))
