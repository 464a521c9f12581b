"""The plug-in by which vLLM knows value-guided policies, whatever program starts it."""


def register() -> None:
    """Register the model class of value-guided policies by name; vLLM calls this at its start."""
    from vllm import ModelRegistry

    ModelRegistry.register_model(
        "ValueGuidedForCausalLM", "actors.value_guided:ValueGuidedForCausalLM"
    )
