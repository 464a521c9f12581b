"""Simulators in the form of the published ones: small models with random weights."""

from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, T5Config, T5ForConditionalGeneration

import lmrl
from lmrl.adapters.published_oracles import CausalBuyer, SeqToSeqOracle
from lmrl.tasks.oracle_protocol import Oracle
from lmrl.tokens.tokenizer import train_tokenizer

VOCABULARY = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("simulator")
    train_tokenizer(["Is it a lion?\nYes.\n", "I want a car.\n"], VOCABULARY, made)
    return made


def test_a_seq2seq_model_answers_the_guessing_games(folder: Path) -> None:
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=VOCABULARY, d_model=16, d_ff=32, d_kv=8, num_layers=1, num_heads=2,
        decoder_start_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(folder)
    oracle = SeqToSeqOracle(folder)
    assert isinstance(oracle, Oracle) and oracle.version == str(folder)
    assert oracle("Is it a lion?") == oracle("Is it a lion?")
    assert oracle("x" * 5000 + "?") == oracle("x" * 5000 + "!")  # only the beginning is read
    env = lmrl.make("twenty-questions", oracle=oracle)
    _, info = env.reset(seed=0)
    assert info["oracle"] == "seq2seq"
    assert env.step("Is it alive?\n").text in ("Yes.\n", "No.\n", "I don't know.\n")


def test_a_causal_model_buys_cars(folder: Path) -> None:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=1024, n_embd=16, n_layer=1, n_head=2,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(folder)
    buyer = CausalBuyer(folder, new_tokens=12)
    state = torch.random.get_rng_state()
    said = {buyer(f"Start\nHello {n}.\n") for n in range(6)}
    assert torch.equal(state, torch.random.get_rng_state())
    assert len(said) > 1 and all(line.count("\n") == 1 for line in said)
    assert buyer("Start\nHello.\n") == buyer("Start\nHello.\n")
    env = lmrl.make("car-dealer", buyer=buyer, max_utterances=4)
    env.reset(seed=0)
    env.step("Hello.\n")
    assert env.step("It costs $20,000.\n").terminated
