"""Architectures: the learner's numbers are the model's own, and what cannot work is refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from actors.architectures import TABLES, served_architectures
from benchmarks.models.architectures import ARCHITECTURES, REFUSED, make_model, texts_tokenizer
from cluster.experiment import Experiment
from cluster.presets import preset
from cluster.source import sample_texts
from learners.algorithms.offline.ilql import ILQL
from learners.algorithms.offline.qsft import QSFT
from learners.algorithms.online.ppo import PPO
from learners.checkpoints.portable import add_earlier_names
from learners.checkpoints.vocabulary import token_count
from learners.networks.actor_critic import Network
from learners.networks.causal_lm import load_causal_lm
from learners.networks.outputs import Inputs
from learners.networks.values import ValueNetwork
from lmrl.errors import UsageError
from lmrl.tokens.codec import Codec
from lmrl.tokens.tokenizer import name_portable_class

Make = Callable[[str], Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A function that makes the checkpoint of an architecture, once."""
    home = tmp_path_factory.mktemp("models")
    tokenizer = texts_tokenizer(sample_texts(preset("maze-fo-ppo")))

    def make(name: str) -> Path:
        if not (home / name).exists():
            (home / name).mkdir()
            make_model(name, home / name, tokenizer)
        return home / name

    return make


def all_positions(tokens: torch.Tensor) -> Inputs:
    """Return inputs whose entries are all tokens but the first of each row `[R, T]`."""
    rows, length = tokens.shape
    row = torch.arange(rows).repeat_interleave(length - 1)
    position = torch.arange(length - 1).repeat(rows)
    none = row[:0]
    return Inputs(
        tokens,
        torch.full((rows,), length),
        row,
        position,
        torch.arange(len(row)),
        tokens[row, position + 1],
        torch.ones(len(row), dtype=torch.bool),
        none,
        none,
    )


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_log_probs_and_their_gradient_are_those_of_the_model(name: str, made: Make) -> None:
    """In chunks, without the surplus rows, and with the architecture's own map of logits."""
    model = load_causal_lm(made(name))
    tokens = Codec.load(made(name)).vocab_size
    assert model.tokens == tokens < model.model.config.vocab_size
    generator = torch.Generator().manual_seed(0)
    inputs = all_positions(torch.randint(tokens, (2, 60), generator=generator))

    def plain() -> torch.Tensor:
        logits = model.model(input_ids=inputs.tokens).logits[:, :-1, :tokens]
        chosen = F.log_softmax(logits, -1).gather(-1, inputs.tokens[:, 1:, None])
        return chosen.flatten()

    network = Network(model, chunk=32)
    ours, theirs = network(inputs).logprob, plain()
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert float(theirs.std()) > 0.1
    weights = [weight.parameters[0] for weight in network.exported()]
    for one, other in zip(
        torch.autograd.grad(ours.mean(), weights),
        torch.autograd.grad(theirs.mean(), weights),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_value_network_trains_and_sends_what_it_uses(name: str, made: Make) -> None:
    network = ILQL(cql_weight=0.1).network(lambda: load_causal_lm(made(name)))
    tokens = Codec.load(made(name)).vocab_size
    assert network.q_heads[0].outputs == tokens
    inputs = all_positions(torch.arange(40)[None] % tokens)
    out = network(inputs)
    (out.q.sum() + out.nll.sum() + out.v.sum()).backward()
    sent = {weight.name: weight.parameters[0] for weight in network.exported()}
    trunk: Any = network.trunk
    for parameter in network.parameters():
        # ZeRO fails on a trainable parameter without a gradient.
        assert parameter.requires_grad == (parameter.grad is not None)
    untied = {id(p) for p in trunk.untied_output()}
    assert not untied & {id(p) for p in sent.values()}
    names = {f"critic.{n}" for n, p in trunk.model.named_parameters() if id(p) not in untied}
    assert names == {key for key in sent if key.startswith("critic.")}


def test_a_separate_critic_freezes_an_output_embedding_with_a_bias(made: Make) -> None:
    """Phi's has one, and it is not tied."""
    network = PPO(critic="trunk").network(lambda: load_causal_lm(made("phi")))
    inputs = all_positions(torch.arange(40)[None])
    out = network(inputs)
    (out.logprob.sum() + out.value.sum()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.requires_grad == (parameter.grad is not None), name


@pytest.mark.parametrize("name", ["llama-tied", "phi", "granite"])
def test_qsft_begins_as_the_start_policy(name: str, made: Make) -> None:
    """A bias and a factor are part of its head; a bound of the logits cannot be."""
    start = load_causal_lm(made(name))
    network = QSFT(lowest=-10.0).network(lambda: load_causal_lm(made(name)))
    assert isinstance(network, ValueNetwork)
    inputs = all_positions(torch.arange(40)[None])
    states = network.states(inputs)
    logits = network.q_heads[0](states)[0][:, :-1]
    torch.testing.assert_close(logits, start.head(states), atol=1e-5, rtol=0)


def test_qsft_refuses_a_bound_of_the_logits(made: Make) -> None:
    with pytest.raises(UsageError, match="bounds its logits by 4"):
        QSFT(lowest=-10.0).network(lambda: load_causal_lm(made("gemma2")))


# -- what is refused before anything starts --------------------------------------------------------


def checked(path: Path) -> Experiment:
    exp = preset("maze-fo-bc")
    return replace(
        exp,
        model=replace(exp.model, path=str(path)),
        placement=replace(exp.placement, device="cpu"),
    )


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in REFUSED])
def test_what_the_samplers_can_serve_passes(name: str, made: Make) -> None:
    checked(made(name)).check()


def change(file: Path, **fields: Any) -> None:
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | fields))


def without_newline(folder: Path) -> None:
    """Write a tokenizer of which no token has a newline."""
    file = folder / "tokenizer.json"
    data = json.loads(file.read_text())
    vocabulary = {t: i for t, i in data["model"]["vocab"].items() if "Ċ" not in t}
    merges = [pair for pair in data["model"]["merges"] if "Ċ" not in "".join(pair)]
    data["model"] |= {"vocab": vocabulary, "merges": merges}
    file.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("name", "damage", "sentence"),
    [
        ("gpt-neo", None, "is a GPTNeoForCausalLM, which the installed vLLM cannot sample from"),
        ("llama-head-size-16", None, "attention heads have size 16, and samplers on CPU support"),
        (
            "qwen3",
            lambda f: change(f / "config.json", vocab_size=200),
            "has token 337 and its embedding 200 rows",
        ),
        (
            "qwen3",
            lambda f: change(f / "config.json", architectures=[]),
            "names no architecture",
        ),
        (
            "qwen3",
            lambda f: change(f / "tokenizer_config.json", eos_token=None),
            "has no end-of-text token",
        ),
        ("qwen3", without_newline, r'contains "\\n", which ends an action'),
    ],
)
def test_what_cannot_be_sampled_is_refused_in_a_sentence(
    made: Make, tmp_path: Path, name: str, damage: Any, sentence: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(made(name), folder)
    if damage is not None:
        damage(folder)
    with pytest.raises(UsageError, match=sentence) as error:
        checked(folder).check()
    assert "\n" not in str(error.value)


def test_a_special_token_beyond_the_embedding_is_never_written(made: Make, tmp_path: Path) -> None:
    """Gemma-3 of 1B parameters has a token of images beyond its embedding."""
    folder = tmp_path / "model"
    shutil.copytree(made("gemma3"), folder)
    rows = Codec.load(folder).vocab_size
    change(folder / "config.json", vocab_size=rows)
    assert token_count(folder) is None
    file = folder / "tokenizer.json"
    data = json.loads(file.read_text())
    template = data["added_tokens"][0]
    data["added_tokens"].append(template | {"id": rows, "content": "<image>", "special": True})
    file.write_text(json.dumps(data))
    assert Codec.load(folder).vocab_size == rows + 1
    checked(folder).check()
    assert token_count(folder) is None


def test_the_architectures_are_those_of_the_installed_engine() -> None:
    registry = pytest.importorskip("vllm.model_executor.models.registry")
    names = {name for table in TABLES for name in getattr(registry, table)}
    assert served_architectures() == names


# -- files for other programs ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["llama-tied", "gemma3", "gpt-neox", "phi"])
def test_rotary_embeddings_have_their_earlier_names_too(
    name: str, made: Make, tmp_path: Path
) -> None:
    from transformers import AutoConfig

    folder = tmp_path / "model"
    shutil.copytree(made(name), folder)
    before = AutoConfig.from_pretrained(folder).to_dict()
    add_earlier_names(folder)
    config = json.loads((folder / "config.json").read_text())
    assert config["rope_theta"] in (10_000.0, 1_000_000.0)
    after = AutoConfig.from_pretrained(folder).to_dict()
    assert after["rope_parameters"] == before["rope_parameters"]


def test_a_tokenizer_is_named_as_earlier_versions_know_it(made: Make, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = tmp_path / "model"
    shutil.copytree(made("gpt2"), folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"extra_special_tokens": ["<one>", "<two>"]})
    tokenizer.save_pretrained(folder)
    written = json.loads((folder / "tokenizer_config.json").read_text())
    assert written["extra_special_tokens"] == ["<one>", "<two>"]
    name_portable_class(folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    # Transformers 4 takes a dictionary of names here, and fails on a list.
    assert "extra_special_tokens" not in config
    assert config["additional_special_tokens"] == ["<one>", "<two>"]
    assert AutoTokenizer.from_pretrained(folder).extra_special_tokens == ["<one>", "<two>"]
