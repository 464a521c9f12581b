"""Make data sets with a task's scripted players."""

from collections.abc import Iterator, Mapping
from typing import Any

from lmrl.env import TextEnv
from lmrl.episode import play
from lmrl.trajectory import Trajectory


def episodes(
    env: TextEnv, name: str, count: int, seed: int, player: str, options: Mapping[str, Any]
) -> Iterator[Trajectory]:
    """Yield episodes of a scripted player, as the task wants its data (`TextEnv.data_starts`).

    Args:
        env: task to play.
        name: name of the task, for the record.
        count: number of episodes.
        seed: seed of the first episode; episode i has seed `seed + i`.
        player: name of the scripted player.
        options: options of the task, for the record.
    """
    for index in range(count):
        start = env.data_starts.get(player)
        yield play(env, player, seed + index, name=name, options=options, start=start)
