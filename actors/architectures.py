"""The model architectures that vLLM can sample from."""

import ast
import importlib.util
from functools import cache
from pathlib import Path

from learners.checkpoints.guided import ARCHITECTURE
from learners.checkpoints.initial import shape_of
from lmrl.errors import UsageError

TABLES = ("_TEXT_GENERATION_MODELS", "_TRANSFORMERS_SUPPORTED_MODELS")
"""Tables of vLLM's registry: models of its own, and those that it takes from transformers."""


@cache
def served_architectures() -> frozenset[str]:
    """Return the names of vLLM's architectures that generate text; empty without vLLM.

    The tables are read from the source of vLLM's registry, since importing vLLM takes seconds.
    """
    spec = importlib.util.find_spec("vllm")
    if spec is None or not spec.submodule_search_locations:
        return frozenset()
    file = Path(spec.submodule_search_locations[0], "model_executor", "models", "registry.py")
    return frozenset(
        key.value
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id in TABLES
        for key in node.value.keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    )


def check_architecture(path: Path) -> None:
    """Refuse a checkpoint whose architecture vLLM does not know.

    Raises:
        UsageError: if so; the message has the architecture.
    """
    names = shape_of(path).get("architectures") or []
    if not names:
        raise UsageError(
            f"config.json of {path} names no architecture; add the class of its model as "
            "'architectures'"
        )
    known = served_architectures() | {ARCHITECTURE}
    if len(known) > 1 and not known.intersection(names):
        raise UsageError(
            f"{path} is a {names[0]}, which the installed vLLM cannot sample from; choose a causal "
            "language model of one of its architectures, like LlamaForCausalLM"
        )
