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

import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from lmrl.env import Player, ScoreRange, Step, TextEnv, Wording, fresh_seed
from lmrl.errors import UsageError, unknown
from lmrl.tasks.wording import ByRules

Cell = tuple[int, int]

LAYOUTS: dict[str, tuple[tuple[str, ...], Cell]] = {
    "double_t_maze": (
        (
            "#############",
            "#.....#.....#",
            "###.#####.###",
            "###.#####.###",
            "###.#####.###",
            "###.......###",
            "######.######",
            "######.######",
            "######.######",
            "#############",
        ),
        (8, 6),
    ),
    "double_t_flipped": (
        (
            "#############",
            "######.######",
            "######.######",
            "######.######",
            "###.......###",
            "###.#####.###",
            "###.#####.###",
            "###.#####.###",
            "#.....#.....#",
            "#############",
        ),
        (1, 6),
    ),
    "umaze": (("#####", "#...#", "#.#.#", "#.#.#", "#####"), (3, 3)),
}
"""Layouts by name, `#` is a wall, each with its goal."""

MOVES: dict[str, Cell] = {
    "move left\n": (0, -1),
    "move right\n": (0, 1),
    "move up\n": (-1, 0),
    "move down\n": (1, 0),
}

START_OPTIONS = ("goal", "init_position")

_WALL_PHRASES = (
    ((0, 1), "to your right"),
    ((0, -1), "to your left"),
    ((-1, 0), "above you"),
    ((1, 0), "below you"),
)

REWORDED = ByRules(
    (
        r"The goal is at position ([\d ]+), ([\d ]+)\. "
        r"Your current position is at position ([\d ]+), ([\d ]+)\.",
        r"You stand in row \3, column \4, and have to get to row \1, column \2.",
    ),
    (r"The goal is at position ([\d ]+), ([\d ]+)\.", r"You have to get to row \1, column \2."),
    (r"There are no walls near you\.", "The way is free on all sides."),
    (r"There (is a wall|are walls) ", "You cannot pass "),
    ("to your right", "on the right hand"),
    ("to your left", "on the left hand"),
    ("above you", "upwards"),
    ("below you", "downwards"),
    ("Success", "You have arrived."),
    ("Failure", "You are too late."),
)


def spaced(number: int) -> str:
    """Return the digits of `number` with a space between them: 10 is `1 0`."""
    return " ".join(str(number))


def standard_reward(legal: bool, at_goal: bool) -> float:
    """Return 0 at the goal, -4 for an illegal action, -1 otherwise: the benchmark's reward."""
    return 0.0 if at_goal else (-1.0 if legal else -4.0)


def illegal_penalty_reward(legal: bool, at_goal: bool) -> float:
    """Return 1 at the goal, -1 for an illegal action, 0 otherwise."""
    return 1.0 if at_goal else (0.0 if legal else -1.0)


def illegal_penalty_diff_scale(legal: bool, at_goal: bool) -> float:
    """Return 1 at the goal, -100 for an illegal action, -1 otherwise."""
    return 1.0 if at_goal else (-1.0 if legal else -100.0)


REWARDS: dict[str, tuple[Callable[[bool, bool], float], tuple[float, float]]] = {
    "standard": (standard_reward, (-4.0, 0.0)),
    "illegal_penalty": (illegal_penalty_reward, (-1.0, 1.0)),
    "illegal_penalty_diff_scale": (illegal_penalty_diff_scale, (-100.0, 1.0)),
}
"""Reward functions of (legal, at goal) by name, each with its range."""


class Grid:
    """A layout with its free cells, walls, texts and distances, computed once."""

    def __init__(self, rows: tuple[str, ...], goal: Cell) -> None:
        self.goal = goal
        self.cells = [
            (r, c) for r, row in enumerate(rows) for c, tile in enumerate(row) if tile == "."
        ]
        free = set(self.cells)
        self.starts = [cell for cell in self.cells if cell != goal]
        self.move = {
            (cell, action): target if (target := (cell[0] + dr, cell[1] + dc)) in free else cell
            for cell in self.cells
            for action, (dr, dc) in MOVES.items()
        }
        self.walls = {cell: _walls(cell, free) for cell in self.cells}
        self._to: dict[Cell, dict[Cell, int]] = {}

    def distances(self, goal: Cell) -> dict[Cell, int]:
        """Return the moves that every cell is away from `goal`, computed once."""
        if goal not in self._to:
            distance = {goal: 0}
            queue = deque([goal])
            while queue:
                cell = queue.popleft()
                for action in MOVES:  # every move can be taken back, so this is symmetric
                    if (near := self.move[cell, action]) not in distance:
                        distance[near] = distance[cell] + 1
                        queue.append(near)
            self._to[goal] = distance
        return self._to[goal]

    def best_moves(self, cell: Cell, goal: Cell) -> list[str]:
        """Return the moves that bring `cell` nearer to `goal`."""
        distance = self.distances(goal)
        return [a for a in MOVES if distance[self.move[cell, a]] < distance[cell]]


def _walls(cell: Cell, free: set[Cell]) -> str:
    row, col = cell
    phrases = [text for (dr, dc), text in _WALL_PHRASES if (row + dr, col + dc) not in free]
    if not phrases:
        return "There are no walls near you."
    return f"There {'is a wall' if len(phrases) == 1 else 'are walls'} {', '.join(phrases)}."


@cache
def grid(layout: str) -> Grid:
    """Return the grid of a layout by name.

    Raises:
        UsageError: for an unknown name.
    """
    if layout not in LAYOUTS:
        raise unknown("maze layout", layout, LAYOUTS)
    return Grid(*LAYOUTS[layout])


@dataclass
class MazeState:
    """What changes during an episode."""

    position: Cell
    goal: Cell
    steps: int
    running: bool


class Maze(TextEnv):
    """The maze of LMRL-Gym; the module's docstring has the rules.

    Args:
        observation: `position` (goal, position, walls), `walls`, or `goal` (goal and walls).
        last_k: how many of the newest texts the policy sees.
        max_steps: moves until the limit.
        layout: a name in `LAYOUTS`.
        reward: a name in `REWARDS`.
        goal: a free cell `[row, column]`; None is the layout's own goal.
        faithful: behave as the published code does, quirks included.
        drop_history_on_invalid: whether an illegal action makes the policy forget; None follows
            `faithful`.
    """

    actions = tuple(MOVES)
    instructions = (
        "You walk through a maze of rows and columns to a goal, in as few moves as you can. "
        "Positions are given as row, column: moving down adds 1 to the row and moving right adds 1 "
        "to the column. Each message names the walls next to you; a move into a wall leaves you "
        "where you are. You may or may not be told where you and the goal are. An action is "
        "exactly one of these: move up, move down, move left, move right."
    )

    def __init__(
        self,
        observation: str = "position",
        last_k: int = 1,
        max_steps: int = 100,
        layout: str = "double_t_maze",
        reward: str = "standard",
        faithful: bool = False,
        drop_history_on_invalid: bool | None = None,
        goal: Sequence[int] | None = None,
    ) -> None:
        describers = {"position": self._position, "walls": self._walls, "goal": self._goal}
        if observation not in describers:
            raise unknown("maze observation", observation, describers)
        if reward not in REWARDS:
            raise unknown("maze reward", reward, REWARDS)
        for name, value in (("last_k", last_k), ("max_steps", max_steps)):
            if type(value) is not int or value < 1:
                raise UsageError(f"maze option {name} is {value!r}; give an integer of 1 or more")
        self.grid = grid(layout)
        self.goal = self.grid.goal if goal is None else self._free(goal)
        self.max_steps = max_steps
        self.max_turns = max_steps + 1
        self.window = last_k
        self.window_opens_with_action = faithful
        # The published maximum without the position is no upper bound: playing optimally from what
        # was seen returns -7.24, a normalised score of 116.
        best = -25.75 if observation == "walls" else -6.84
        self.score_range = ScoreRange(worst=-101.0, data=-83.0, best=best)
        self.faithful = faithful
        self.drops = faithful if drop_history_on_invalid is None else drop_history_on_invalid
        self.reward, self.reward_range = REWARDS[reward]
        self.describe = describers[observation]
        self.state: MazeState | None = None

    def _position(self, cell: Cell, goal: Cell) -> str:
        return (
            f"The goal is at position {spaced(goal[0])}, {spaced(goal[1])}. Your current position "
            f"is at position {spaced(cell[0])}, {spaced(cell[1])}. {self.grid.walls[cell]}\n"
        )

    def _walls(self, cell: Cell, goal: Cell) -> str:
        return f"{self.grid.walls[cell]}\n"

    def _goal(self, cell: Cell, goal: Cell) -> str:
        return (
            f"The goal is at position {spaced(goal[0])}, {spaced(goal[1])}. "
            f"{self.grid.walls[cell]}\n"
        )

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start at a random free cell, or at `options["init_position"]`.

        `options["goal"]` moves the goal.

        Raises:
            UsageError: for an unknown option, a cell that is a wall, or a start that is the goal.
        """
        options = options or {}
        for option in options:
            if option not in START_OPTIONS:
                raise unknown("maze start option", option, START_OPTIONS)
        seed = fresh_seed() if seed is None else seed
        rng = random.Random(seed)
        # The published code draws the goal first, although there is only one to draw.
        goal = self._free(options["goal"]) if "goal" in options else rng.choice([self.goal])
        if "init_position" in options:
            position = self._free(options["init_position"])
            if position == goal:
                raise UsageError(f"init_position {position} is the goal; choose another free cell")
        else:
            position = rng.choice([cell for cell in self.grid.cells if cell != goal])
        self.state = MazeState(position, goal, 0, True)
        return self.describe(position, goal), {"seed": seed, "position": list(position)}

    def _free(self, cell: Any) -> Cell:
        if not isinstance(cell, list | tuple) or tuple(cell) not in self.grid.walls:
            raise UsageError(f"{cell} is no free cell of the maze; free: {self.grid.cells}")
        row, column = cell
        return (row, column)

    def step(self, action: str) -> Step:
        """Move, or stay for an action that is not one of the four."""
        state = self.state
        if state is None or not state.running:
            raise RuntimeError("the maze episode is over; call reset first")
        if state.steps >= self.max_steps:
            # Published behaviour that the scores rest on: this action is not executed.
            state.running = False
            facts = {"position": list(state.position), "success": False}
            if self.faithful:
                return Step.ended("Failure\n", -1.0, replaces_history=True, **facts)
            return Step.cut(
                "Failure\n",
                -1.0,
                replaces_history=True,
                final_observation=self.describe(state.position, state.goal),
                executed=False,
                **facts,
            )
        legal = action in MOVES
        if legal:
            state.position = self.grid.move[state.position, action]
        at_goal = state.position == state.goal
        reward = self.reward(legal, at_goal)
        if at_goal:
            state.running = False
            return Step.ended(
                "Success\n",
                reward,
                replaces_history=True,
                position=list(state.position),
                success=True,
            )
        state.steps += 1
        return Step.going(
            self.describe(state.position, state.goal),
            reward,
            replaces_history=self.drops and not legal,
            position=list(state.position),
        )

    def _optimal(self, rng: random.Random) -> Player:
        def play(observation: str) -> str:
            assert self.state is not None
            return rng.choice(self.grid.best_moves(self.state.position, self.state.goal))

        return play

    def _random(self, rng: random.Random) -> Player:
        moves = list(MOVES)
        return lambda observation: rng.choice(moves)

    def _mixture(self, rng: random.Random) -> Player:
        # Uniform play returns about -86 and optimal play -6.84, so one optimal episode in 26
        # brings a data set to the published mean of -83.
        return self._optimal(rng) if rng.random() < 1 / 26 else self._random(rng)

    players: ClassVar[Mapping[str, Callable[[Any, random.Random], Player]]] = {
        "optimal": _optimal,
        "random": _random,
        "mixture": _mixture,
    }
    wordings: ClassVar[Mapping[str, Wording]] = {"reworded": REWORDED}
    variants: Mapping[str, Mapping[str, Any]] = {
        "reworded": {"wording": "reworded"},
        "flipped-layout": {"layout": "double_t_flipped"},
        "other-layout": {"layout": "umaze"},
        "moved-goal": {"goal": [1, 1]},
    }
