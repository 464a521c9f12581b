"""Play episodes through OpenEnv's own client; runs in the environment that has OpenEnv.

Standard input has the address of the server and for each episode its seed and actions, as JSON.
Standard output gets what the client returned. All sessions are open at once, and take turns.
"""

import json
import sys
from contextlib import ExitStack
from typing import Any

from openenv import GenericEnvClient


def main() -> None:
    given = json.load(sys.stdin)
    found: list[dict[str, Any]] = []
    with ExitStack() as stack:
        sessions = []
        for episode in given["episodes"]:
            client = GenericEnvClient(base_url=given["address"]).sync()
            env = stack.enter_context(client)
            sessions.append((env, iter(episode["actions"])))
            result = env.reset(seed=episode["seed"])
            found.append({"results": [[result.observation, result.reward, result.done]]})
        waiting = list(range(len(sessions)))
        while waiting:
            for index in tuple(waiting):
                env, actions = sessions[index]
                action = next(actions, None)
                if action is None:
                    found[index]["state"] = env.state()
                    waiting.remove(index)
                    continue
                result = env.step({"text": action})
                found[index]["results"].append([result.observation, result.reward, result.done])
    json.dump(found, sys.stdout)


main()
