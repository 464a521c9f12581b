"""The scores that the paper prints, to put ours beside them.

The paper's two tables do not agree in every cell, so neither is computed from the other.
"""

from dataclasses import dataclass

RETURNS_SOURCE = "arXiv 2311.18232, table 4"
NORMALISED_SOURCE = "arXiv 2311.18232, table 2"

COLUMNS = {
    "bc": "BC",
    "filtered_bc": "filtered BC",
    "mc": "MC",
    "ilql": "ILQL",
    "ppo": "online PPO",
    "online_filtered_bc": "online filtered BC",
    "gpt-4": "GPT-4",
}
"""Our name of each column's algorithm -> its name for readers."""


@dataclass(frozen=True)
class PublishedScore:
    """A cell of the paper's tables.

    Attributes:
        returned: mean return; None where the paper prints none.
        normalised: normalised score; negative ones are printed as 0.
    """

    returned: float | None
    normalised: float


_RETURNS: dict[str, tuple[float | None, ...]] = {
    "maze-fo": (-72.1, -56.4, -48.1, -6.97, -37.7, -71.7, -39.7),
    "maze-po": (-79.5, -82.9, -80.3, -52.9, -91.7, -79.5, -88.0),
    "text-nav-fo": (0.39, 0.54, 0.63, 0.88, 0.81, 0.62, 0.52),
    "text-nav-po": (0.25, 0.49, 0.58, 0.76, 0.80, 0.53, 0.21),
    "wordle": (-2.81, -2.85, -2.16, -2.04, -2.63, -2.15, -5.42),
    "chess": (-22.3, -56.5, -28.2, -21.4, -16.0, -22.3, -81.3),
    "endgames": (0.112, -0.439, 0.588, 0.452, 0.814, 0.112, -22.87),
    "twenty-questions": (-16.0, -14.6, -13.9, -14.2, -14.9, -16.8, -13.0),
    "guess-my-city": (-17.0, -15.2, -11.2, -12.5, -15.1, -19.2, -10.13),
    # The table of returns repeats the normalised scores here.
    "car-dealer": (None,) * 7,
}

_NORMALISED: dict[str, tuple[float, ...]] = {
    "maze-fo": (58.2, 68.9, 75.0, 99.9, 79.7, 57.4, 78.2),
    "maze-po": (53.1, 50.1, 52.4, 76.3, 42.4, 53.1, 60.4),
    "text-nav-fo": (53.7, 65.1, 71.9, 91.8, 87.1, 74.5, 67.5),
    "text-nav-po": (49.7, 60.5, 71.6, 83.7, 85.5, 68.4, 40.2),
    "wordle": (79.9, 79.1, 94.9, 97.7, 84.2, 95.2, 15.4),
    "chess": (47.2, 42.9, 46.5, 47.3, 48.0, 47.2, 0.0),
    "endgames": (35.1, 17.7, 50.2, 45.8, 77.5, 36.2, 0.0),
    "twenty-questions": (57.1, 77.1, 87.1, 82.9, 72.9, 55.2, 95.7),
    "guess-my-city": (30.0, 48.0, 88.0, 75.0, 49.9, 31.6, 92.3),
    "car-dealer": (44.5, 54.8, 57.2, 46.3, 50.5, 40.4, 53.5),
}

PUBLISHED_SCORES: dict[str, dict[str, PublishedScore]] = {
    task: {
        algorithm: PublishedScore(returned, normalised)
        for algorithm, returned, normalised in zip(
            COLUMNS, _RETURNS[task], _NORMALISED[task], strict=True
        )
    }
    for task in _RETURNS
}
"""Task -> algorithm -> score."""
