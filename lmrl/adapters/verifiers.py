"""The tasks as an environment of verifiers: a taskset, a harness, and who steps the task.

    vf-eval lmrl-verifiers --env.taskset.task-name maze-fo --env.taskset.first-seed 0

Each task of the taskset is an episode: a seed of one of our tasks. Observations are user messages,
the rules are the system message, and the reward of an episode is its return. The harness asks the
model once for each observation and uses no tools, so it runs in the process of the evaluation and
needs no container.

verifiers needs other versions of packages than vLLM does, so it lives in an environment of its own:
`pip install 'lmrl[verifiers]'`.
"""

import itertools
from collections.abc import Iterator
from typing import Any

try:
    import httpx
    import verifiers.v1 as vf
    from pydantic import Field
    from verifiers.v1.dialects.chat import message_to_wire
    from verifiers.v1.errors import MODEL_TRANSPORT_ERROR_EXIT_CODE
    from verifiers.v1.runtimes import ProgramResult, SubprocessConfig
except ImportError as error:
    raise ImportError(
        "lmrl.adapters.verifiers needs verifiers: pip install 'lmrl[verifiers]', in an environment "
        "without vLLM"
    ) from error

from lmrl.episode import Episode
from lmrl.tasks import make
from lmrl.tokens.replies import read_action
from lmrl.trajectory import TERMINATED


class TaskSeedsConfig(vf.TasksetConfig):
    """Which episodes a taskset has.

    Attributes:
        task_name: name of a task of ours.
        options: options of the task.
        first_seed: seed of the first episode; the next ones follow.
    """

    task_name: str = "maze-fo"
    options: dict[str, Any] = Field(default_factory=dict)
    first_seed: int = 0


class SeedData(vf.TaskData):
    """An episode to play.

    Attributes:
        task_name: name of the task.
        options: options of the task.
        seed: seed of the episode.
    """

    task_name: str
    options: dict[str, Any]
    seed: int


class SeedTask(vf.Task[SeedData]):
    """An episode to play, for verifiers."""


class TaskSeeds(vf.Taskset[SeedTask, TaskSeedsConfig]):
    """All episodes of a task, from a first seed on."""

    INFINITE = True

    def load(self) -> Iterator[SeedTask]:
        """Return the episodes.

        Raises:
            UsageError: for an unknown task, or an option that it does not have.
        """
        config = self.config
        env = make(config.task_name, **config.options)
        for seed in itertools.count(config.first_seed):
            text, _ = env.reset(seed=seed)
            data = SeedData(
                name=f"{config.task_name}#{seed}",
                prompt=text,
                # The rules may be those of this episode alone.
                system_prompt=env.instructions or None,
                task_name=config.task_name,
                options=config.options,
                seed=seed,
            )
            yield SeedTask(data, config.task)


class TextHarnessConfig(vf.HarnessConfig):
    """Configuration of the harness; there is nothing to choose."""


class TextHarness(vf.Harness[TextHarnessConfig]):
    """Asks the model for one reply to the conversation so far."""

    APPENDS_SYSTEM_PROMPT = True
    SUPPORTS_RESUME = True
    EXECUTES_CODE = False
    NEEDS_CONTAINER = False

    async def launch(
        self,
        ctx: vf.ModelContext,
        trace: vf.Trace,
        runtime: vf.Runtime,
        endpoint: str,
        secret: str,
        mcp_urls: dict[str, str],
        data: vf.TaskData,
    ) -> ProgramResult:
        """Ask the model once, through verifiers' own endpoint.

        Args:
            ctx: model and its sampling.
            trace: record of the rollout, which the endpoint writes.
            runtime: not used.
            endpoint: address of verifiers' endpoint for this rollout.
            secret: key of the endpoint.
            mcp_urls: not used; there are no tools.
            data: task, with the conversation so far as its prompt.
        """
        system, prompt = self.resolve_prompt(data)
        said = [{"role": "system", "content": system}] if system else []
        if isinstance(prompt, str):
            said.append({"role": "user", "content": prompt})
        else:
            said += [message_to_wire(message) for message in prompt or []]
        async with httpx.AsyncClient(timeout=None) as client:
            answer = await client.post(
                f"{endpoint}/chat/completions",
                headers={"Authorization": f"Bearer {secret}"},
                json={"model": ctx.model, "messages": said},
            )
        if answer.is_error:
            return ProgramResult(MODEL_TRANSPORT_ERROR_EXIT_CODE, "", answer.text)
        return ProgramResult(0, answer.text, "")


class TextEnvironmentConfig(vf.EnvConfig):
    """Configuration of the environment.

    Attributes:
        player: the policy; its harness runs in this process.
    """

    player: vf.AgentConfig = vf.AgentConfig(runtime=SubprocessConfig())


class TextEnvironment(vf.Env[TextEnvironmentConfig]):
    """Steps a task with the replies of the policy."""

    async def run(self, task: SeedTask, agents: vf.Agents) -> None:
        """Play one episode.

        Args:
            task: episode to play.
            agents: the policy, as `agents.player`.
        """
        data = task.data
        env = make(data.task_name, **data.options)
        episode = Episode(env, data.seed, name=data.task_name, options=data.options)
        try:
            async with agents.player.interaction(task) as interaction:
                segment = await interaction.turn()
                while not segment.terminated:
                    action = read_action(segment.last_reply)
                    episode.act(action + env.stop, malformed=not action)
                    if episode.done:
                        break
                    segment = await interaction.turn(episode.observation)
        finally:
            close = getattr(env, "close", None)
            if close is not None:
                close()
        trace = interaction.trace
        if trace.errors:  # no reward of an episode that nobody played to its end
            return
        trace.record_reward("return", sum(turn.reward for turn in episode.turns))
        trace.record_metric("actions", float(len(episode.turns)))
        malformed = sum(turn.malformed for turn in episode.turns)
        trace.record_metric("malformed", float(malformed))
        trace.record_metric("terminated", float(episode.ending == TERMINATED))
        trace.info["rewards"] = [turn.reward for turn in episode.turns]
        if episode.done:
            trace.info["last_text"] = episode.trajectory().final
