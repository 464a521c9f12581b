"""Readers of the published benchmark's data files, one module a form: file in, trajectories out.

Every reader is strict: it raises `DataError` with the file, the row and the field for a value that
does not have the described form. A trajectory that was read

- has the texts of the file; an action ends with the stop text, which is added where it lacks;
- has rewards on actions only;
- has the spans of its task: 1 where the policy sees the newest state alone, everything so far where
  it sees the episode, 40 items at most in the partially observed maze;
- has the task's options under which the published texts, rewards and endings hold;
- has no seed (`NO_SEED`), no tokens, and the file's name in `info["imported"]`.

An episode whose end is not in the file is truncated. Where the policy sees single states and
the file stops with an action, the state that followed is unknown. The state before the action
is taken instead, as it does in the published training scripts.
"""

from lmrl.data.formats.car_dealer import car_dealer_talks
from lmrl.data.formats.chess import chess_games
from lmrl.data.formats.episode import Reader
from lmrl.data.formats.maze import maze_fo, maze_po
from lmrl.data.formats.questions import questions
from lmrl.data.formats.text_nav import text_nav
from lmrl.data.formats.wordle import wordle

READERS: dict[str, Reader] = {
    "car-dealer": car_dealer_talks,
    "chess": chess_games("chess"),
    "endgames": chess_games("endgames"),
    "guess-my-city": questions("guess-my-city", first=True),
    "maze-fo": maze_fo,
    "maze-po": maze_po,
    "text-nav-fo": text_nav("text-nav-fo"),
    "text-nav-po": text_nav("text-nav-po"),
    "twenty-questions": questions("twenty-questions", first=False),
    "wordle": wordle,
}
"""Readers of published files, by task."""
