"""Checks of instruct models before anything expensive starts; they load neither torch nor Ray."""

from actors.chat.config import ChatConfig
from learners.checkpoints.gguf import resolve
from lmrl.env import TextEnv
from lmrl.errors import UsageError


def check_model(config: ChatConfig, option: str) -> None:
    """Refuse a model that cannot be used, before anything expensive starts.

    Args:
        config: settings of the model.
        option: name of the model's option, for messages.

    Raises:
        UsageError: if the settings are invalid, or there is no such model.
    """
    if config.endpoint and not config.model:
        raise UsageError(f"{option}.endpoint needs {option}.model, the model's name on that server")
    if config.max_tokens < 1 or config.max_tokens >= config.context:
        raise UsageError(
            f"{option}.max_tokens is {config.max_tokens}; give 1 or more, less than the context "
            f"of {config.context} tokens"
        )
    if config.served:
        resolve(config.model)


def check_oracle(config: ChatConfig, env: TextEnv, task: str) -> None:
    """Refuse a model that cannot answer for a task.

    Args:
        config: settings of the model; without a name there is no model, which suits every task.
        env: task.
        task: name of the task.

    Raises:
        UsageError: if the task has no oracle or buyer, or the model cannot be used.
    """
    if (config.model or config.endpoint) and not env.oracle_option:
        raise UsageError(
            f"the oracle {config.model or config.endpoint} is given, but nobody answers in {task}; "
            "it is for tasks with an oracle or a buyer"
        )
    check_model(config, "oracle")
