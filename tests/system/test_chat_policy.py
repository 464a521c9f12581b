"""A tiny chat model that thinks before it acts, through vLLM, PPO, records and a second run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("vllm")

from cluster.fields import recorded
from learners.checkpoints.initial import ModelConfig, make_start
from learners.collate import collate
from lmrl.cli import main
from lmrl.data.store import load
from lmrl.episode import play
from lmrl.tasks import make
from lmrl.tokens.codec import Codec
from lmrl.tokens.format import FORM, FormatConfig
from lmrl.trajectory import Ids

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

TEMPLATE = """{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content }}
{{- '<|im_end|>\\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""

SAID = "<think>\nmove left? No.\n</think>\nmove up<|im_end|>"
FORMAT = FormatConfig("chat", "", True, 24, 12)


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose model says `SAID` to every observation of the maze."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path_factory.mktemp("chat") / "thinker"
    rules = f"{make('maze-fo').instructions} {FORM}\n"
    config = ModelConfig(context=512, width=64, layers=2, heads=2, vocabulary=400)
    observations = [
        turn.observation
        for seed in range(20)
        for turn in play(make("maze-fo"), "random", seed).turns
    ]
    make_start(config, [*observations, *[rules, "move up left? No.\n"] * 9], folder, seed=0)
    tokenizer: Any = AutoTokenizer.from_pretrained(str(folder))
    special = ["<|im_start|>", "<|im_end|>", "<think>", "</think>"]
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(str(folder))
    torch.manual_seed(0)
    model: Any = AutoModelForCausalLM.from_pretrained(str(folder))
    model.resize_token_embeddings(len(tokenizer))
    _teach(model, Codec.load(folder, FORMAT), observations)
    model.save_pretrained(str(folder))
    return folder


def _teach(model: Any, codec: Codec, observations: list[str]) -> None:
    opening, _ = codec.format.beginning(make("maze-fo").instructions)
    reply = codec.encode_markup(SAID)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    rng = np.random.default_rng(0)
    losses = [9.0]
    for _ in range(600):
        if np.mean(losses[-20:]) < 0.01:
            return
        text = observations[int(rng.integers(len(observations)))]
        row = np.concatenate([opening, codec.format.observation(text, None)[0], reply])
        ids = torch.as_tensor(row.astype(np.int64))[None]
        logits = model(input_ids=ids).logits[0, -len(reply) - 1 : -1]
        loss = F.cross_entropy(logits, ids[0, -len(reply) :])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    raise AssertionError(f"the model did not learn to think, loss {losses[-1]}")


def test_thoughts_stay_inside_the_loss_and_out_of_the_task(
    local_ray: None, thinker: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    fields = [
        "--model.path", thinker, "--model.context", 512, "--model.thinking", "on",
        "--rollouts.max-tokens", 12, "--rollouts.thought-tokens", 24, "--rollouts.turns", 60,
        "--rollouts.min-episodes", 12, "--options.max-steps", 5, "--updates", 2,
        "--evaluation.episodes", 8, "--evaluation.random", "false",
        "--learner.malformed-penalty", 1, "--learner.optimiser.decay", "none",
    ]  # fmt: skip
    assert main(["train", "maze-fo-ppo", "--run-dir", str(run), *map(str, fields)]) == 0
    summary = json.loads((run / "summary.json").read_text())
    assert summary["parity"]["max_abs"] < 1e-3

    codec = Codec.load(thinker, FORMAT)
    episodes = list(load(run / "trajectories" / "training"))
    turns = [turn for episode in episodes for turn in episode.turns]
    sound = [
        turn
        for turn in turns
        if not turn.malformed and "</think>" in codec.decode(turn.action_ids, special=True)
    ]
    assert len(sound) > 0.8 * len(turns)
    # At temperature 1 a few replies repeat the thought as the action.
    assert sum("?" in turn.action for turn in sound) < 0.1 * len(sound)
    for turn in sound:
        assert "think>" not in turn.action
        assert (turn.versions >= 0).all() and len(turn.logprobs) == len(turn.action_ids)
    assert {turn.action for turn in sound} >= {"move up\n"}
    # The learner reads the episodes as they are, and every token of a reply is in its loss.
    assert codec.read(episodes[0]) is episodes[0]
    batch = collate(episodes, context=512)
    # The maze does not apply the action at its limit, so nobody learns from that one.
    learned = [turn for episode in episodes for turn in episode.executed().turns]
    assert batch.actions == sum(len(turn.action_ids) for turn in learned)
    line = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])
    assert line["rollout/malformed_actions"] < 0.2 and line["rollout/cut_actions"] < 0.2
    # The games are played again from the actions alone.
    assert main(["replay", str(run / "trajectories" / "training")]) == 0
    # A checkpoint is scored in its own format.
    capsys.readouterr()
    assert main(["evaluate", "checkpoint", str(run), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["return_mean"] == summary["scores"]["ppo"]["return_mean"]
    made = recorded(run / "checkpoints" / "last")
    assert made is not None and made.format.thinking


def test_a_chat_model_is_cloned_from_scripted_episodes(
    local_ray: None, thinker: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    fields = [
        "--model.path", thinker, "--model.context", 512, "--rollouts.max-tokens", 12,
        "--updates", 60, "--data.episodes", 60, "--data.player", "optimal",
        "--evaluation.episodes", 8, "--evaluation.random", "false",
        "--learner.optimiser.lr", 3e-3, "--options.max-steps", 20,
    ]  # fmt: skip
    assert main(["train", "maze-fo-bc", "--run-dir", str(run), *map(str, fields)]) == 0
    scores = json.loads((run / "summary.json").read_text())["scores"]
    assert scores["bc"]["return_mean"] > scores["start"]["return_mean"]


def test_contexts_of_an_episode_are_what_was_sampled_from(thinker: Path) -> None:
    """The tokens of a turn's context are those of the episode while it ran."""
    from lmrl.episode import Episode, Reply

    codec = Codec.load(thinker, FORMAT)
    episode = Episode(make("maze-po", max_steps=4), 1, codec, 260, "maze-po")
    seen: list[Ids] = []
    while not episode.done:
        seen.append(episode.context)
        ids = codec.encode_markup(SAID)
        episode.reply(Reply(ids, np.zeros(len(ids), np.float32), np.zeros(len(ids), np.int32)))
    made = episode.trajectory()
    *contexts, _ = made.contexts()
    assert [c.tolist() for c in contexts] == [c.tolist() for c in seen]
