"""The plug-in by which each process of vLLM knows this project's model and weight transfer.

vLLM calls `register` at its start, whatever program starts it: a sampler, a worker process of an
engine that is divided over several GPUs, or `vllm serve`. The entry point is in `pyproject.toml`.
"""

from importlib.metadata import entry_points

from lmrl.errors import UsageError

GROUP = "vllm.general_plugins"
"""Group of entry points that vLLM reads."""

BACKEND = "object_store"
"""Name of our weight transfer."""


def register() -> None:
    """Register the model class of value-guided policies, and the weight transfer, by their names.

    The modules are imported when vLLM needs them.
    """
    from vllm import ModelRegistry
    from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory

    ModelRegistry.register_model(
        "ValueGuidedForCausalLM", "actors.value_guided:ValueGuidedForCausalLM"
    )
    if BACKEND not in WeightTransferEngineFactory._registry:
        WeightTransferEngineFactory.register_engine(
            BACKEND, "actors.weight_transfer", "ObjectStoreEngine"
        )


def check_installed() -> None:
    """Refuse an installation whose worker processes of vLLM would not call `register`.

    Raises:
        UsageError: if this project is not installed as a package.
    """
    if not any(point.value == "actors.plugin:register" for point in entry_points(group=GROUP)):
        raise UsageError(
            "sampler.tensor_parallel needs the entry point of this project's plug-in for vLLM, and "
            "it is not installed here as a package; run 'pip install --no-deps -e .' on every node"
        )
