"""Configurations that earlier versions of transformers, and programs like llama.cpp, read too.

Transformers 5 writes rotary embeddings as `rope_parameters`. Earlier readers do not know the field
and silently use the default of the architecture, so the model would be another one. The names that
they know are written beside it.
"""

import json
from pathlib import Path
from typing import Any


def add_earlier_names(folder: Path) -> None:
    """Write the earlier names of rotary embeddings into a checkpoint's `config.json`.

    Args:
        folder: checkpoint directory.
    """
    file = folder / "config.json"
    config = json.loads(file.read_text())
    named = _earlier(config.get("rope_parameters") or {}, config.get("model_type"))
    if named:
        file.write_text(json.dumps(config | named, indent=2) + "\n")


def _earlier(rope: dict[str, Any], kind: str | None) -> dict[str, Any]:
    """Return the fields of earlier versions for `rope_parameters`; empty if there are none.

    Args:
        rope: parameters, or parameters by the type of layers (Gemma-3).
        kind: `model_type` of the configuration.
    """
    if "full_attention" in rope and "sliding_attention" in rope:
        local = rope["sliding_attention"].get("rope_theta")
        return _earlier(rope["full_attention"], kind) | {"rope_local_base_freq": local}
    if "rope_theta" not in rope:
        return {}
    found = {"rope_theta": rope["rope_theta"]}
    share = rope.get("partial_rotary_factor")
    if share is not None:
        found["partial_rotary_factor"] = share
    if kind == "gpt_neox":
        found |= {"rotary_emb_base": rope["rope_theta"], "rotary_pct": share}
    if rope.get("rope_type", "default") != "default":
        found["rope_scaling"] = {
            name: value
            for name, value in rope.items()
            if name not in ("rope_theta", "partial_rotary_factor")
        }
    return found
