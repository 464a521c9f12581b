"""Checks of a checkpoint directory that need no model in memory."""

import json
from pathlib import Path

from learners.checkpoints.initial import shape_of
from learners.checkpoints.vocabulary import check_stop, check_vocabulary
from lmrl.errors import UsageError
from lmrl.tokens.codec import Codec
from lmrl.tokens.format import FormatConfig


def check_checkpoint(path: Path, form: FormatConfig, stop: str) -> None:
    """Refuse an incomplete checkpoint directory, before anything expensive starts.

    Args:
        path: checkpoint directory.
        form: format that its tokenizer has to support.
        stop: text that ends an action.

    Raises:
        UsageError: if its configuration, weights or tokenizer are missing or cut off, or if the
            tokenizer does not fit the model or the task.
    """
    from safetensors import SafetensorError, safe_open

    shape_of(path)
    weights = sorted(path.glob("*.safetensors"))
    index = path / "model.safetensors.index.json"
    if index.exists():
        try:
            named = set(json.loads(index.read_text())["weight_map"].values())
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise UsageError(
                f"{index} cannot be read ({error!r}); copy the checkpoint again"
            ) from error
        missing = sorted(named - {file.name for file in weights})
        if missing:
            raise UsageError(f"{path} lacks {', '.join(missing)}; copy the checkpoint again")
    if not weights and not any(path.glob("*.bin")):
        raise UsageError(f"{path} has no weights (model.safetensors); copy the checkpoint again")
    for file in weights:
        try:
            with safe_open(str(file), "numpy"):
                pass
        except (OSError, SafetensorError) as error:
            raise UsageError(
                f"{file} is cut off or not a weights file ({error}); copy the checkpoint again"
            ) from error
    codec = Codec.load(path, form)
    check_vocabulary(path, codec)
    check_stop(path, codec, stop)
