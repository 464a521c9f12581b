"""Tokens that are whole lines, and what a model begins with for them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cluster.presets import preset
from cluster.source import sample_texts
from learners.checkpoints.initial import ModelConfig, make_start
from learners.networks.causal_lm import load_causal_lm
from lmrl.tasks import make
from lmrl.tokens.codec import Codec
from lmrl.tokens.tokenizer import train_tokenizer

LINES = ["c r a n e\n", "b y g b b\n", "c r a n k\n"]


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    folder = tmp_path_factory.mktemp("lines")
    train_tokenizer(["c r a n e\nb y g b b\n", *LINES, "x\n", "\n"], 300, folder, lines=3)
    return Codec.load(folder)


def test_frequent_lines_are_one_token_and_all_text_comes_back(codec: Codec) -> None:
    assert sorted(codec.lines().values()) == sorted(LINES)  # the two of "x\n" came less often
    for text in [
        *LINES,
        "x\n",
        "\n",
        "c r a n e",
        "c r a n s\n",
        "naïve c r a n e\n",
        "<|endoftext|>",
    ]:
        assert codec.decode(codec.encode(text)) == text
    assert [len(codec.encode(text)) for text in (LINES[0] + LINES[1], "x\n", "\n")] == [2, 2, 1]
    assert codec.end_id not in codec.encode("<|endoftext|>")


def test_every_such_token_ends_an_action(codec: Codec) -> None:
    assert set(codec.lines()) <= set(codec.format.stop_ids("\n"))


def test_lines_of_equal_words_begin_alike(tmp_path: Path) -> None:
    config = ModelConfig(context=32, width=256, heads=2, vocabulary=300, lines=3)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        make_start(config, LINES, tmp_path / name, seed)
    codec = Codec.load(tmp_path / "a")
    at = {text: token for token, text in codec.lines().items()}

    def rows(name: str) -> torch.Tensor:
        return load_causal_lm(tmp_path / name).model.get_input_embeddings().weight.detach()

    crane, answer, crank = (rows("a")[at[text]] for text in LINES)
    cosine = torch.nn.functional.cosine_similarity
    assert cosine(crane, crank, dim=0) > 0.6  # four of five letters: 0.8 in the mean
    assert abs(cosine(crane, answer, dim=0)) < 0.4
    assert float(crane.std()) == pytest.approx(config.line_std, rel=0.3)
    assert torch.equal(rows("a"), rows("b"))
    assert not torch.equal(rows("a")[at[LINES[0]]], rows("c")[at[LINES[0]]])


@pytest.mark.parametrize("task", ["wordle", "twenty-questions"])
def test_a_turn_of_these_presets_is_two_tokens(task: str, tmp_path: Path) -> None:
    """What the data's player says is nearly always one token."""
    exp = preset(f"{task}-bc")
    train_tokenizer(sample_texts(exp), exp.model.vocabulary, tmp_path, exp.model.lines)
    codec = Codec.load(tmp_path)
    env = make(exp.task, **exp.options)
    from lmrl.episode import play

    said = [
        len(codec.encode(turn.action))
        for seed in range(100)
        for turn in play(env, exp.data.player, seed, exp.task, exp.options).turns
    ]
    assert np.mean(np.array(said) == 1) > 0.95


def test_checkpoints_name_a_tokenizer_class_that_transformers_4_knows(tmp_path: Path) -> None:
    from learners.checkpoints.guided import copy_tokenizer

    train_tokenizer(["move up\n"], 300, tmp_path)
    written = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert written["tokenizer_class"] == "PreTrainedTokenizerFast"
    # A checkpoint that another version of transformers wrote is put right when it is copied.
    written["tokenizer_class"] = "TokenizersBackend"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(written))
    (tmp_path / "copy").mkdir()
    copy_tokenizer(tmp_path, tmp_path / "copy")
    copied = json.loads((tmp_path / "copy" / "tokenizer_config.json").read_text())
    assert copied["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert Codec.load(tmp_path / "copy").decode(Codec.load(tmp_path).encode("move")) == "move"
