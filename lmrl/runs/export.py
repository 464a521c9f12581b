"""`export`: a checkpoint of a run as a model directory for others, with a model card.

The directory has what `transformers` (4 and 5) and `vllm serve` load, and nothing that only a
resume needs. A value-guided policy is loaded by vLLM alone, where this project is installed.
"""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmrl.errors import UsageError
from lmrl.files import atomic_folder, strict_json
from lmrl.runs.names import ADAPTER, CONFIG, MARKER, RECORD, SUMMARY, checkpoint
from lmrl.tasks import TASKS, check_trusted, make
from lmrl.tokens.codec import Codec
from lmrl.tokens.format import FormatConfig

VALUE_GUIDED = "ValueGuidedForCausalLM"
"""Architecture of value-guided policies, `learners.checkpoints.guided.ARCHITECTURE`."""

FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    RECORD,
)
"""Files of a checkpoint that an exported model has too, beside its weights."""

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
"""Files of adapters that peft reads."""


def export(
    run: Path, out: Path, name: str = "last", adapter: bool = False, load_tasks: bool = False
) -> dict[str, Any]:
    """Write a checkpoint of a run as a model directory, which appears only when complete.

    Args:
        run: run directory.
        out: directory to write; it must not exist.
        name: name of the checkpoint: `last`, `best`, or `step-N`.
        adapter: whether the directory gets the adapters of a run with LoRA for peft, instead of the
            merged model.
        load_tasks: whether a task that the run names as `module:Class` is imported.

    Returns:
        Facts about the model, as its card states them.

    Raises:
        UsageError: if there is no such run or checkpoint, it has no adapters and they are wanted,
            or the directory exists.
    """
    if not (run / MARKER).is_file():
        raise UsageError(f"{run} is not a run directory of 'lmrl train'")
    source = checkpoint(run, name)
    if not re.fullmatch(r"last|best|step-\d+", name) or not (source / "config.json").is_file():
        names = sorted(p.name for p in source.parent.glob("*") if (p / "config.json").is_file())
        known = f"it has {', '.join(names)}" if names else "it has saved none yet"
        raise UsageError(f"{run} has no checkpoint '{name}'; {known}")
    if out.exists():
        raise UsageError(f"{out} exists; choose another directory with --out")
    config = json.loads((run / CONFIG).read_text())
    check_trusted(config["task"], str(run), load_tasks)
    facts = _facts(run, source, config)
    files = [source / file for file in FILES] + sorted(source.glob("*.safetensors*"))
    if adapter:
        files, facts["base"] = _adapter(run, source, files)
    with atomic_folder(out) as folder:
        for path in files:
            if path.is_file():
                shutil.copyfile(path, folder / path.name)
        codec = Codec.load(source, _format(config))
        facts["chat"] = codec.format.instructed
        stops = codec.format.stop_ids(make(config["task"], **config["options"]).stop)
        (folder / "generation_config.json").write_text(
            strict_json(_generation(config, stops), indent=2) + "\n"
        )
        (folder / "README.md").write_text(card(facts, out.name))
    return facts


def _format(config: Mapping[str, Any]) -> FormatConfig:
    model, rollouts = config["model"], config["rollouts"]
    return FormatConfig(
        model["format"] if model["path"] else "plain",
        model["system"],
        model["thinking"] == "on",
        rollouts["thought_tokens"],
        rollouts["max_tokens"],
    )


def _adapter(run: Path, source: Path, files: list[Path]) -> tuple[list[Path], str]:
    """Return the files of an adapter directory, and the model that the adapters are for.

    Args:
        run: run directory.
        source: checkpoint directory.
        files: files of the merged model.
    """
    folder = source / ADAPTER
    if not folder.is_dir():
        raise UsageError(
            f"{run} has no adapters, since it was not trained with learner.lora.rank; leave "
            "--adapter out"
        )
    merged = {"config.json", *(path.name for path in source.glob("*.safetensors*"))}
    kept = [path for path in files if path.name not in merged]
    base = json.loads((folder / ADAPTER_FILES[0]).read_text())["base_model_name_or_path"]
    return kept + [folder / name for name in ADAPTER_FILES], base


def _generation(config: Mapping[str, Any], stops: list[int]) -> dict[str, Any]:
    """Return the sampling settings of the run: generation stops at the end of an action.

    Args:
        config: content of the run's `config.json`.
        stops: token ids that end an action.
    """
    temperature = config["evaluation"]["temperature"]
    return {
        "eos_token_id": stops,
        "max_new_tokens": _format(config).reply_tokens,
        "do_sample": temperature > 0,
        # The libraries' own defaults would cut the distribution.
        **({"temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature > 0 else {}),
    }


def _facts(run: Path, source: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    model = json.loads((source / "config.json").read_text())
    state = json.loads((source / "state.json").read_text())
    summary = run / SUMMARY
    scores = json.loads(summary.read_text())["scores"] if summary.exists() else state["scores"]
    return {
        "task": config["task"],
        "options": config["options"],
        "algorithm": config["algorithm"],
        "data": config["data"],
        "seed": config["seed"],
        "update": state["update"],
        "updates": config["updates"],
        "context": config["model"]["context"],
        "architecture": model["architectures"][0],
        "guided": model["architectures"][0] == VALUE_GUIDED,
        "scores": scores,
        "provenance": config.get("provenance", {}),
    }


def _library(facts: Mapping[str, Any]) -> str:
    if "base" in facts:
        return "peft"
    return "vllm" if facts["guided"] else "transformers"


PAPER = " of LMRL-Gym (arXiv 2311.18232)"


def _prompt(facts: Mapping[str, Any]) -> str:
    """Return how the exported model is prompted, for its card."""
    limit = f"at most {facts['context']} tokens of prompt and action together"
    if facts["chat"]:
        return (
            "The prompt is a chat in the model's own template: the rules and the form of an action "
            f"as system message, then observations and actions, with {limit}."
        )
    return (
        "The prompt is the task's own text without a chat template, as "
        f'`lmrl.make("{facts["task"]}")` writes it, with {limit}. `generation_config.json` ends an '
        "action where the task ends it."
    )


def card(facts: Mapping[str, Any], name: str) -> str:
    """Return the model card as Markdown.

    Args:
        facts: result of `export`.
        name: name of the model.
    """
    algorithm, ours = facts["algorithm"], facts["task"] in TASKS
    tags = ["reinforcement-learning", "lmrl-gym" if ours else "text-game", facts["task"]]
    front = [
        "---",
        f"library_name: {_library(facts)}",
        "pipeline_tag: text-generation",
        f"tags: {json.dumps(tags)}",
        "---",
    ]
    rows = [
        "| policy | mean return | 95 % interval | normalised | episodes |",
        "|---|---|---|---|---|",
    ]
    for policy, score in facts["scores"].items():
        interval = score["ci95"]
        shown = "-" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"
        rows.append(
            f"| {policy} | {score['return_mean']:.2f} | {shown} | {score['normalised']:.1f} | "
            f"{score['episodes']} |"
        )
    load = (
        f"This is an adapter of low rank for `{facts['base']}`, which "
        "`peft.AutoPeftModelForCausalLM.from_pretrained` loads together with it."
        if "base" in facts
        else f"This is a value-guided policy: vLLM loads it where `lmrl` is installed "
        f"(`vllm serve {name}`), and transformers does not."
        if facts["guided"]
        else "`AutoModelForCausalLM.from_pretrained` of transformers loads it, and so does "
        f"`vllm serve {name}`."
    )
    settings = {key: value for key, value in algorithm.items() if key != "name"}
    versions = facts["provenance"].get("versions", {})
    return "\n".join(
        [
            *front,
            "",
            f"# {name}",
            "",
            f"A policy for the task `{facts['task']}`{PAPER if ours else ''}, trained with "
            f"{algorithm['name']}. It is the checkpoint after update {facts['update']} of "
            f"{facts['updates']}.",
            "",
            load,
            _prompt(facts),
            "",
            "## Scores",
            "",
            *rows,
            "",
            "Intervals are over episodes, which have the same seeds for every policy. The "
            f"normalised score is {'the paper' if ours else 'the task'}'s: 0 for the worst return, "
            "50 for the mean of the data, 100 for the best return.",
            "",
            "## Training",
            "",
            f"- options of the task: `{json.dumps(facts['options'])}`",
            f"- algorithm: `{algorithm['name']}`, `{json.dumps(settings)}`",
            f"- data: `{json.dumps(facts['data'])}`",
            f"- seed: {facts['seed']}",
            f"- architecture: {facts['architecture']}",
            f"- commit: {facts['provenance'].get('commit', 'unknown')}",
            f"- versions: {', '.join(f'{k} {v}' for k, v in versions.items()) or 'unknown'}",
            "",
            "`experiment.json` has every field. The same scores again: "
            f"`lmrl evaluate checkpoint {name}`.",
            "",
        ]
    )
