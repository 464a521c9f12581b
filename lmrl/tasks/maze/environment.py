"""The environment of the maze: what is observed, the moves, and the limit."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from lmrl.drawing import Drawing
from lmrl.env import Diagnostic, Player, ScoreRange, Step, TextEnv, Wording
from lmrl.errors import UsageError, unknown
from lmrl.limits import COUNT
from lmrl.seeds import fresh_seed
from lmrl.tasks.maze.drawing import draw
from lmrl.tasks.maze.grid import MOVES, Cell, grid
from lmrl.tasks.maze.walks import DATA_STARTS, walker
from lmrl.tasks.wording import ByRules
from lmrl.trajectory import Trajectory

START_OPTIONS = ("goal", "init_position", "max_steps")

STANDARD_STEPS = 100
"""Limit of moves for which the published constants of the score hold."""

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


@dataclass
class MazeState:
    """What changes during an episode."""

    position: Cell
    goal: Cell
    steps: int
    limit: int
    running: bool


class Maze(TextEnv):
    """The maze of LMRL-Gym; the package's docstring has the rules.

    Args:
        observation: `position` (goal, position, walls), `walls`, or `goal` (goal and walls).
        last_k: number of the newest texts that the policy sees.
        max_steps: moves until the limit.
        layout: name of a layout in `assets/mazes.json`.
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
        observation: Literal["position", "walls", "goal"] = "position",
        last_k: Annotated[int, COUNT] = 1,
        max_steps: Annotated[int, COUNT] = 100,
        layout: str = "double_t_maze",
        reward: Literal["standard", "illegal_penalty", "illegal_penalty_diff_scale"] = "standard",
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
        # The published maximum without the position is not an upper bound: playing optimally from
        # what was seen returns -7.24, a normalised score of 116.
        best = -25.75 if observation == "walls" else -6.84
        self.score_range = ScoreRange(worst=-101.0, data=-83.0, best=best)
        if max_steps != STANDARD_STEPS:
            self.score_range = self._limited(self.score_range)
        self.faithful = faithful
        self.drops = faithful if drop_history_on_invalid is None else drop_history_on_invalid
        self.reward, self.reward_range = REWARDS[reward]
        self.describe = describers[observation]
        self.fully_observed = observation == "position" and last_k == 1
        self.state: MazeState | None = None

    def _limited(self, standard: ScoreRange) -> ScoreRange:
        """Return the constants of the score under another limit of moves.

        The worst return is that of an episode that the limit cuts. The optimal return, with every
        start equally probable, is the exact one. Where the standard range lies elsewhere (the
        published data set, and the optimum from walls alone), its share of the range is kept.
        """
        # The action at the limit is not applied, so a goal is reached by `max_steps` moves or not.
        worst = -float(self.max_turns)
        moves = [n for n in self.grid.distances(self.goal).values() if n > 0]
        optimal = sum(1.0 - n if n <= self.max_steps else worst for n in moves) / len(moves)
        known = -6.84 - standard.worst
        data, best = (
            worst + (optimal - worst) * (value - standard.worst) / known
            for value in (standard.data, standard.best)
        )
        return ScoreRange(worst, data, best)

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

        `options["goal"]` moves the goal, and `options["max_steps"]` lowers the limit.

        Raises:
            UsageError: for an unknown option, a cell that is a wall, a start that is the goal, or a
                limit that is no integer of 1 or more.
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
        limit = options.get("max_steps", self.max_steps)
        if type(limit) is not int or limit < 1:
            raise UsageError(
                f"maze start option max_steps is {limit!r}; give an integer of 1 or more"
            )
        self.state = MazeState(position, goal, 0, min(limit, self.max_steps), True)
        return self.describe(position, goal), {"seed": seed, "position": list(position)}

    def _free(self, cell: Any) -> Cell:
        if not isinstance(cell, list | tuple) or tuple(cell) not in self.grid.walls:
            raise UsageError(f"{cell} is not a free cell of the maze; free: {self.grid.cells}")
        row, column = cell
        return (row, column)

    def step(self, action: str) -> Step:
        """Move, or stay for an action that is not one of the four."""
        state = self.state
        if state is None or not state.running:
            raise RuntimeError("the maze episode is over; call reset first")
        if state.steps >= state.limit:
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

    def diagnostics(self, act: Player) -> list[Diagnostic]:
        """Return the move accuracy: the share of the free cells with a best move as the action.

        Only the fully observed maze has it: there an observation alone determines the best moves.
        """
        if not self.fully_observed:
            return []
        cells = [cell for cell in self.grid.cells if cell != self.goal]
        right = sum(
            act(self.describe(cell, self.goal)) in self.grid.best_moves(cell, self.goal)
            for cell in cells
        )
        accuracy = right / len(cells)
        sentence = f"best-scored move on a shortest way in {100 * accuracy:.0f} % of the free cells"
        return [Diagnostic("move_accuracy", accuracy, sentence)]

    def draw(self, episode: Trajectory) -> Drawing | None:
        """Return the maze with the path of the episode."""
        return draw(self, episode)

    def _optimal(self, rng: random.Random) -> Player:
        def play(observation: str) -> str:
            assert self.state is not None
            return rng.choice(self.grid.best_moves(self.state.position, self.state.goal))

        return play

    def _random(self, rng: random.Random) -> Player:
        moves = list(MOVES)
        return lambda observation: rng.choice(moves)

    def _mixture_whole(self, rng: random.Random) -> Player:
        # Uniform play returns about -86 and optimal play -6.84, so one optimal episode in 26
        # brings a data set to the published mean of -83.
        return self._optimal(rng) if rng.random() < 1 / 26 else self._random(rng)

    players: Mapping[str, Callable[[Any, random.Random], Player]] = {
        "optimal": _optimal,
        "random": _random,
        "mixture": walker,
        "mixture-whole": _mixture_whole,
    }
    data_starts = DATA_STARTS
    wordings: ClassVar[Mapping[str, Wording]] = {"reworded": REWORDED}
    variants: Mapping[str, Mapping[str, Any]] = {
        "reworded": {"wording": "reworded"},
        "flipped-layout": {"layout": "double_t_flipped"},
        "other-layout": {"layout": "umaze"},
        "moved-goal": {"goal": [1, 1]},
    }
