"""`PRESETS`: named experiments. Each is one literal in the file of its task; search for its name.

The tiny size (2 layers, width 64 or 128) trains on two CPU cores in minutes. The names that end in
`-gpt2` have the size of the paper's model (arXiv 2311.18232). Their hyper-parameters are not the
paper's and have not been tuned. Give them pretrained weights with `--model.path`.
"""

from functools import cache
from importlib.metadata import entry_points

from cluster.experiment import Experiment
from cluster.presets import (
    car_dealer,
    chess,
    guess_my_city,
    maze_fo,
    maze_fo_chat,
    maze_fo_online,
    maze_po,
    text_nav,
    twenty_questions,
    wordle,
)
from cluster.presets.preset import Preset
from lmrl.errors import UsageError, unknown

PRESETS: dict[str, Preset] = {
    **maze_fo.PRESETS,
    **maze_fo_online.PRESETS,
    **maze_fo_chat.PRESETS,
    **maze_po.PRESETS,
    **wordle.PRESETS,
    **twenty_questions.PRESETS,
    **text_nav.PRESETS,
    **chess.PRESETS,
    **guess_my_city.PRESETS,
    **car_dealer.PRESETS,
}


@cache
def known() -> dict[str, Preset]:
    """Return all presets: those of this package and those of installed distributions.

    A distribution offers presets by an entry point of the group `lmrl.presets`, whose value is a
    dictionary like `PRESETS`.

    Raises:
        UsageError: if an entry point cannot be imported, or is not such a dictionary.
    """
    found = dict(PRESETS)
    for entry in entry_points(group="lmrl.presets"):
        try:
            offered = dict(entry.load())
        except Exception as error:  # whatever the import of another distribution raises
            raise UsageError(
                f"the presets '{entry.name}' of an installed package cannot be imported ({error}); "
                "repair or remove the package"
            ) from error
        found = {**offered, **found}
    return found


def preset(name: str) -> Experiment:
    """Return the experiment of a preset.

    Raises:
        UsageError: for an unknown name, with the nearest known one.
    """
    if name not in known():
        raise unknown("preset", name, known())
    return known()[name].experiment
