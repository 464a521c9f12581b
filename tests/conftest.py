"""Shared by the system tests: one Ray, one start checkpoint, one house of actors per session."""

import importlib
import json
import os
import threading
import typing
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from jaxtyping import install_import_hook
from openai_server import Server

# The shapes that signatures carry are checked at every call in this process.
CHECKED = [
    "learners.algorithms.offline.bc",
    "learners.algorithms.offline.ilql",
    "learners.algorithms.offline.mc",
    "learners.algorithms.online.groups",
    "learners.algorithms.online.losses",
    "learners.algorithms.online.ppo",
    "learners.algorithms.offline.qsft",
    "learners.algorithms.offline.rwr",
    "learners.algorithms.returns",
    "learners.algorithms.offline.sarsa",
    "learners.networks.guidance",
    "learners.networks.hl_gauss",
]
install_import_hook(CHECKED, "shapes.checked")
# The algorithms import the types in their signatures for a type checker only. The networks and what
# they need come first, since other packages do more than that for a type checker.
for name in ("shapes", "learners.networks.actor_critic", "learners.networks.likelihood"):
    importlib.import_module(name)
with pytest.MonkeyPatch.context() as patch:
    patch.setattr(typing, "TYPE_CHECKING", True)
    for name in CHECKED:
        importlib.import_module(name)

ROOT = Path(__file__).resolve().parent.parent
if "PYTEST_XDIST_WORKER" in os.environ:
    # The processes share the cores: more threads than that would wait for one another.
    os.environ["OMP_NUM_THREADS"] = "1"
# Ray starts workers at the lowest priority; here they are the whole work, as in a real run.
os.environ.setdefault("RAY_worker_niceness", "0")
# Ray's workers import the tests' own tasks from here.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
)


@pytest.fixture
def server() -> Iterator[Server]:
    """A model server of the test's own."""
    running = Server()
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer model with a tokenizer of the maze's texts."""
    from cluster.presets import preset
    from cluster.source import sample_texts
    from learners.checkpoints.initial import make_start

    exp = preset("maze-fo-ppo")
    folder = tmp_path_factory.mktemp("start") / "checkpoint"
    make_start(exp.model, sample_texts(exp), folder, seed=0)
    return folder


@pytest.fixture(scope="session")
def chat_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer model with 512 positions and a chat template."""
    from learners.checkpoints.initial import ModelConfig, make_start
    from lmrl.tasks import make
    from lmrl.tokens.format import FORM

    folder = tmp_path_factory.mktemp("chat") / "checkpoint"
    config = ModelConfig(context=512, width=64, layers=2, heads=2, vocabulary=400)
    make_start(config, [f"{make('maze-fo').instructions} {FORM}\n"] * 9, folder, seed=0)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    known = len(tokenizer["model"]["vocab"])
    tokenizer["added_tokens"] += [
        {"id": known + number, "content": content, "special": True, "single_word": False}
        | {"lstrip": False, "rstrip": False, "normalized": False}
        for number, content in enumerate(("<|im_start|>", "<|im_end|>"))
    ]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return folder


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """A private Ray with more CPUs on its books than this machine may have."""
    import ray

    ray.init(
        address="local",
        num_cpus=8,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def fleet(local_ray: None, checkpoint: Path) -> Iterator[object]:
    """One sampler, two simulators, and two DeepSpeed ranks with ZeRO-2."""
    from cluster.presets import preset
    from cluster.startup.launch import launch
    from cluster.weights.push import push

    exp = preset("maze-fo-ppo")
    exp = replace(
        exp,
        failures=1.0,
        model=replace(exp.model, path=str(checkpoint)),
        learner=replace(
            exp.learner, ranks=2, threads=1, optimiser=replace(exp.learner.optimiser, zero=2)
        ),
        simulator=replace(exp.simulator, count=2, flush=8),
    )
    with launch(exp, checkpoint) as running:
        push(running, 0)
        yield running
