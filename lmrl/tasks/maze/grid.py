"""The layouts of mazes: free cells, walls, and the way to a goal."""

from collections import deque
from functools import cache

from lmrl.errors import unknown
from lmrl.tasks.assets import read_json

Cell = tuple[int, int]
"""Row and column."""

MOVES: dict[str, Cell] = {
    "move left\n": (0, -1),
    "move right\n": (0, 1),
    "move up\n": (-1, 0),
    "move down\n": (1, 0),
}
"""The legal actions, each with the change of row and column."""

_WALL_PHRASES = (
    ((0, 1), "to your right"),
    ((0, -1), "to your left"),
    ((-1, 0), "above you"),
    ((1, 0), "below you"),
)


class Grid:
    """A layout, and what follows from it, computed once.

    Args:
        rows: rows of the layout; `#` is a wall and `.` a free cell.
        goal: goal of the layout.

    Attributes:
        shape: number of rows and columns, walls included.
        cells: free cells, row by row.
        starts: free cells but the goal.
        move: (cell, action) -> cell after it.
        walls: cell -> sentence about the walls next to it.
    """

    def __init__(self, rows: tuple[str, ...], goal: Cell) -> None:
        self.goal = goal
        self.shape = (len(rows), len(rows[0]))
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
def layouts() -> dict[str, tuple[tuple[str, ...], Cell]]:
    """Return the rows of each layout (`#` is a wall) and its goal, by name; read once per process.

    All rows of a layout have the same length.
    """
    table = read_json("mazes.json")
    return {
        name: (tuple(layout["rows"]), (layout["goal"][0], layout["goal"][1]))
        for name, layout in table.items()
    }


@cache
def grid(layout: str) -> Grid:
    """Return the grid of a layout by name.

    Raises:
        UsageError: for an unknown name.
    """
    if layout not in layouts():
        raise unknown("maze layout", layout, layouts())
    return Grid(*layouts()[layout])
