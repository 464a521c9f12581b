"""The presets and the fields of an experiment, as tables."""

import json
from typing import Any

from lmrl.cli.output import print_json
from lmrl.errors import option


def print_presets(as_json: bool) -> int:
    """Print every preset with its task, algorithm, size and measured result."""
    rows = preset_rows()
    if as_json:
        print_json(rows)
    else:
        from lmrl.scoring.text import text_table

        columns = ("preset", "task", "algorithm", "size", "return", "minutes", "result")
        cells = [
            (
                row["preset"],
                row["task"],
                row["algorithm"],
                row["size"],
                "not measured" if row["return"] is None else f"{row['return']:.2f}",
                "" if row["minutes"] is None else f"{row['minutes']:.0f}",
                row["result"] or "",
            )
            for row in rows
        ]
        print(text_table(columns, cells, left=(0, 1, 2, 3, 6)))
        print(
            "\nreturn: mean of the last policy over the measured seeds; minutes: of one run on 2 "
            "cores;\nresult: file in benchmarks/results; size: layers x width"
        )
    return 0


def preset_rows() -> list[dict[str, Any]]:
    """Return a record of each preset."""
    from cluster.presets import known

    rows = []
    for name, (exp, measured) in known().items():
        model = exp.model
        size = model.path or f"{model.layers} x {model.width}"
        rows.append(
            {
                "preset": name,
                "task": exp.task,
                "algorithm": exp.algorithm.name,
                "size": size + (", pretrained" if model.pretrained else ""),
                "updates": exp.updates,
                "start": exp.start,
                "return": None if measured is None else _mean(measured.returns),
                "seeds": 0 if measured is None else len(measured.returns),
                "minutes": None if measured is None else measured.minutes,
                "result": None if measured is None else measured.result,
            }
        )
    return rows


def _mean(values: tuple[float, ...]) -> float:
    return sum(values) / len(values)


def print_fields(exp: Any, as_json: bool) -> int:
    """Print every field of an experiment with its value, type, range and meaning.

    Args:
        exp: the `Experiment`.
        as_json: whether to print JSON.
    """
    rows = field_rows(exp)
    if as_json:
        print_json(rows)
        return 0
    import textwrap

    for row in rows:
        print(f"{option(row['field'])} {_shown(row['value'])}")
        text = f"{row['text']} Takes {row['takes']}" + (
            f"; used only {row['used']}." if row["used"] else "."
        )
        print(textwrap.fill(text, 96, initial_indent="    ", subsequent_indent="    "))
    return 0


def _shown(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)


def field_rows(value: Any, prefix: str = "", used: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
    """Return a record of each field of a config and of the configs in it.

    Args:
        value: dataclass with the fields.
        prefix: beginning of the fields' names.
        used: conditions of the whole config.
    """
    import dataclasses

    from cluster.fields import hints_of
    from lmrl.fields.attributes import entries
    from lmrl.fields.typed import expected
    from lmrl.limits import Used

    texts = entries(type(value))
    rows: list[dict[str, Any]] = []
    for name, hint in hints_of(type(value)).items():
        inner = getattr(value, name)
        conditions = (*used, *(a for a in getattr(hint, "__metadata__", ()) if isinstance(a, Used)))
        if dataclasses.is_dataclass(inner):
            rows += field_rows(inner, f"{prefix}{name}.", conditions)
            continue
        text = texts.get(name, "")
        rows.append(
            {
                "field": prefix + name,
                "value": inner,
                "takes": expected(hint),
                "used": " and ".join(str(condition) for condition in conditions),
                "text": _sentence(text) if text else "",
            }
        )
    return rows


def _sentence(text: str) -> str:
    first = text[:1].upper() if text[:1].isascii() else text[:1]
    return f"{first}{text[1:].rstrip('.')}."
