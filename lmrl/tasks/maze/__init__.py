"""Maze, fully and partially observed: walk to the goal by four moves.

Rules (arXiv 2311.18232, section 4 and appendix E; code of the published benchmark):
- The layout is a double T of 10 x 13 cells, positions are `[row, column]`, the goal is `[8, 6]`,
  and an episode starts in one of the 25 other free cells.
- Four actions are legal: `move left`, `move right`, `move up`, `move down`, each with a newline.
  A move into a wall stays. Any other text stays too and is illegal.
- Reward: 0 for the move that reaches the goal, -4 for an illegal action, -1 otherwise. Reaching the
  goal in n moves returns -(n - 1).
- Limit: after 100 moves the next action is not executed; it earns -1 and the episode is cut. The
  least return of legal play is therefore -101.
- `maze-fo` shows goal, position and walls, and the policy sees that alone. `maze-po` shows the
  walls only, and the policy sees the last 40 texts.

Data: the player `mixture` walks inside one of three sub-mazes, as the published data do, see
`walks.walker`; its episodes end after 20 moves, and their mean return is the published one, -19.7.
`mixture-whole` makes data in which one episode in 26 is optimal as a whole; their mean return is
-83, which the paper's score constants take for the mean of the data.

Repaired by default, as published with `faithful=True`:
- The limit is a truncation with the last state's observation in `final_observation`, so that
  learners bootstrap; published, it ends the episode like a terminal state.
- An illegal action keeps the history; published, it drops it (`drop_history_on_invalid`).
- A full window opens with an observation; published, with an action.
- Randomness comes from a generator of the episode's own; published, from the global one. The same
  seed gives the same start either way.

Variants: `double_t_flipped` is the same maze with up and down exchanged, so that ways are as long
and no learned move fits; `umaze` is a small ring; `goal` puts the goal elsewhere.
"""

from lmrl.tasks.maze.environment import Maze

__all__ = ["Maze"]
