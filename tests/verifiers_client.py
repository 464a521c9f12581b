"""Run episodes by verifiers' own rollout; runs in the environment that has verifiers.

Standard input has the address of a chat model, and the name, options and seeds of a task, as JSON.
Standard output gets for each episode what verifiers recorded.
"""

import asyncio
import json
import sys
from typing import Any

import verifiers.v1 as vf
from verifiers.v1.utils.loaders import load_environment, resolve_env_config


async def played(given: dict[str, Any]) -> list[dict[str, Any]]:
    taskset = {
        "id": "lmrl-verifiers",
        "task_name": given["task"],
        "options": given["options"],
        "first_seed": given["first_seed"],
    }
    env = load_environment(resolve_env_config({"taskset": taskset}))
    client = vf.EvalClientConfig(base_url=given["address"], api_key_var="NO_KEY")
    context = vf.ModelContext(model=given["model"], client=client)
    found = []
    async with env.serving():
        for task in env.taskset.take(given["episodes"]):
            (slot,) = env.slots(task)
            episode = await env.run_slot(slot, context)
            (trace,) = episode.traces
            found.append(
                {
                    "ok": episode.ok,
                    "errors": [str(error) for error in (*episode.errors, *trace.errors)],
                    "seed": task.data.seed,
                    "rewards": trace.info.get("rewards"),
                    "return": trace.reward,
                    "metrics": trace.metrics,
                    "messages": [[m.role, m.content] for m in trace.messages],
                    "last_text": trace.info.get("last_text"),
                }
            )
    return found


json.dump(asyncio.run(played(json.load(sys.stdin))), sys.stdout)
