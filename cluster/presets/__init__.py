"""`PRESETS`: named experiments. Each is one literal in the file of its task; search for its name.

The tiny size (2 layers, width 64 or 128) trains on two CPU cores in minutes. The names that end in
`-gpt2` have the size of the paper's model (arXiv 2311.18232). Their hyper-parameters are not the
paper's and have not been tuned. Give them pretrained weights with `--model.path`.
"""

from cluster.experiment import Experiment
from cluster.presets import (
    car_dealer,
    chess,
    guess_my_city,
    maze_fo,
    maze_po,
    text_nav,
    twenty_questions,
    wordle,
)
from cluster.presets.preset import Preset
from lmrl.errors import unknown

PRESETS: dict[str, Preset] = {
    **maze_fo.PRESETS,
    **maze_po.PRESETS,
    **wordle.PRESETS,
    **twenty_questions.PRESETS,
    **text_nav.PRESETS,
    **chess.PRESETS,
    **guess_my_city.PRESETS,
    **car_dealer.PRESETS,
}


def preset(name: str) -> Experiment:
    """Return the experiment of a preset.

    Raises:
        UsageError: for an unknown name, with the nearest known one.
    """
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    return PRESETS[name].experiment
