"""`OpenEnvTask`: an environment behind an OpenEnv server as a task, named `openenv:URL`.

    lmrl train grpo --task openenv:http://127.0.0.1:8000 --model.path models/mine

The action has to be one text, and the observation needs a text. The server keeps one session, and
so one WebSocket, for each running episode. The protocol is spoken here without OpenEnv's package,
which needs other versions of packages than vLLM does.

A server of `lmrl.adapters.openenv` also reports the rules, the limit of actions, the score range
and why an episode ended. Other servers need the options.
"""

import json
import random
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any

try:
    from websockets.exceptions import ConnectionClosed, WebSocketException
    from websockets.sync.client import ClientConnection, connect
except ImportError as error:
    raise ImportError("openenv: tasks need websockets: pip install 'lmrl[adapters]'") from error

from lmrl.env import Player, ScoreRange, Step, TextEnv
from lmrl.errors import RunError, UsageError
from lmrl.limits import COUNT, Range
from lmrl.seeds import fresh_seed

LARGEST_MESSAGE = 100 * 2**20
"""Largest answer of a server, in bytes."""

CLOSING = 5.0
"""Longest time to wait for the end of a session, in seconds."""

OF_EVERY_OBSERVATION = ("done", "reward", "metadata", "final_observation")
"""Fields of an observation that are not the text the policy reads."""


class OpenEnvTask(TextEnv):
    """An environment behind an OpenEnv server.

    Args:
        id: address of the server, like `http://127.0.0.1:8000`.
        max_turns: largest number of actions of an episode; None is the limit that the server
            reports.
        best: highest return of an episode, in reward units, 100 of the normalised score; None is
            what the server reports, or 1.
        worst: lowest return of an episode, in reward units, 0 of the normalised score; None is
            what the server reports, or 0.
        action: name of the field of an action that takes the text; None is the only text.
        observation: name of the field of an observation that has the text; None is the only text.
        rules: rules and form of an action, for a chat model; None is what the server reports.
        arguments: arguments of every reset beside the seed.
        timeout: longest time to wait for an answer, in seconds.

    Raises:
        UsageError: if no server answers, its actions or observations have no text, or there is no
            limit of actions.
    """

    def __init__(
        self,
        id: str,
        max_turns: Annotated[int | None, COUNT] = None,
        best: float | None = None,
        worst: float | None = None,
        action: str | None = None,
        observation: str | None = None,
        rules: str | None = None,
        arguments: dict[str, Any] | None = None,
        timeout: Annotated[float, Range(above=0)] = 60.0,
    ) -> None:
        self.id, self.timeout, self.arguments = id.rstrip("/"), timeout, dict(arguments or {})
        self.connection: ClientConnection | None = None
        if not id.startswith(("http://", "https://")):
            raise UsageError(
                f"'{id}' is not an address of an OpenEnv server; give openenv:http://HOST:PORT"
            )
        try:
            schema = self._schema()
            told = self._ask({"type": "state"})
        except RunError as error:
            raise UsageError(f"openenv:{id} cannot be played: {error}") from error
        except (OSError, ValueError) as error:
            raise UsageError(
                f"no OpenEnv server answers at '{id}' ({error}); start one, like "
                "'lmrl openenv maze-fo --port 8000', and give its address as openenv:http://…"
            ) from error
        self.action = action or self._text_of(schema, "action")
        self.text = observation or self._text_of(schema, "observation")
        limit = max_turns or told.get("max_turns")
        if limit is None:
            raise UsageError(
                f"openenv:{id} reports no limit of actions; give one with --options.max-turns N"
            )
        best = told.get("best", 1.0) if best is None else best
        worst = told.get("worst", 0.0) if worst is None else worst
        if not best > worst:
            raise UsageError(f"options.best {best:g} is not above options.worst {worst:g}")
        self.max_turns = int(limit)
        self.reward_range = (-float("inf"), float("inf"))
        self.score_range = ScoreRange(worst, (worst + best) / 2, best)
        self.instructions = told.get("instructions", "") if rules is None else rules
        self.players = {"random": OpenEnvTask.random_player}
        self.state: dict[str, Any] | None = None

    def _schema(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.id}/schema", timeout=self.timeout) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def _text_of(self, schema: Mapping[str, Any], what: str) -> str:
        """Return the name of the only field of an action or observation that is a text."""
        fields = schema.get(what, {}).get("properties", {})
        found = [
            name
            for name, kind in fields.items()
            if kind.get("type") == "string" and name not in OF_EVERY_OBSERVATION
        ]
        if len(found) != 1:
            raise UsageError(
                f"an {what} of openenv:{self.id} has {len(found)} texts among its fields "
                f"{sorted(fields)}; name the one to use with --options.{what} NAME"
            )
        return str(found[0])

    def _ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Send a message of the session and return the data of the answer.

        Raises:
            RunError: if the server reports an error, or the connection ends.
        """
        try:
            if self.connection is None:
                address = f"ws{self.id.removeprefix('http')}/ws"
                self.connection = connect(
                    address, open_timeout=self.timeout, max_size=LARGEST_MESSAGE
                )
            # A server without a free session says so, and closes before it is asked.
            with suppress(ConnectionClosed):
                self.connection.send(json.dumps(message))
            answer = json.loads(self.connection.recv(self.timeout))
        except (OSError, ValueError, WebSocketException) as error:
            self.close()
            raise RunError(f"the OpenEnv server at {self.id} is lost: {error}") from error
        if answer.get("type") == "error":
            said = answer.get("data", {})
            if said.get("code") == "CAPACITY_REACHED":
                self.close()
            raise RunError(f"the OpenEnv server at {self.id} says: {said.get('message', said)}")
        data: dict[str, Any] = answer["data"]
        return data

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start an episode.

        Raises:
            RunError: if the server reports an error, or the connection ends.
        """
        seed = fresh_seed() if seed is None else seed
        given = {**self.arguments, "seed": seed, **({"options": dict(options)} if options else {})}
        observed = self._ask({"type": "reset", "data": given})["observation"]
        self.state = {"reset": given, "actions": [], "heard": self._line(observed)}
        return self.state["heard"], {**observed.get("info", {}), "seed": seed}

    def step(self, action: str) -> Step:
        """Apply one action.

        Raises:
            RuntimeError: if no episode is running.
            RunError: if the server reports an error, or the connection ends.
        """
        if self.state is None:
            raise RuntimeError("no episode is running: call reset first")
        said = action.removesuffix(self.stop)
        answer = self._ask({"type": "step", "data": {self.action: said}})
        observed = answer["observation"]
        self.state["actions"].append(said)
        self.state["heard"] = self._line(observed)
        done = bool(answer["done"])
        cut = bool(observed.get("truncated", False))
        ended = done and not cut
        cut = not ended and (cut or len(self.state["actions"]) >= self.max_turns)
        return Step(
            self.state["heard"],
            float(answer["reward"] or 0.0),
            ended,
            cut,
            dict(observed.get("info", {})),
            bool(observed.get("replaces_history", False)),
            observed.get("final_observation"),
        )

    def _line(self, observed: Mapping[str, Any]) -> str:
        """Return the text of an observation as one item of an episode, with a newline at its end.

        Raises:
            RunError: if the observation has no such text.
        """
        text = observed.get(self.text)
        if not isinstance(text, str):
            raise RunError(
                f"field '{self.text}' of an observation of openenv:{self.id} is {text!r}, and not "
                "a text; name another with --options.observation NAME"
            )
        return text.removesuffix("\n") + "\n"

    def random_player(self, rng: random.Random) -> Player:
        """Return a player that says words of the newest observation, in any order."""

        def act(observation: str) -> str:
            words = observation.split() or ["?"]
            return " ".join(rng.choices(words, k=rng.randint(1, 2))) + self.stop

        return act

    def restore(self, snapshot: Any) -> None:
        """Go back to a state that `snapshot` returned, by playing its actions again.

        Raises:
            RunError: if the server then says something else: its seed does not decide the episode.
        """
        assert snapshot is not None
        self.reset(seed=snapshot["reset"]["seed"], options=snapshot["reset"].get("options"))
        for action in snapshot["actions"]:
            self.step(action)
        assert self.state is not None
        if self.state["heard"] != snapshot["heard"]:
            raise RunError(
                f"the OpenEnv server at {self.id} does not repeat an episode from its seed and "
                "actions, so it cannot go back to an earlier state; use an algorithm without "
                "groups, or a server whose resets follow the seed"
            )

    def close(self) -> None:
        """End the session; its place at the server is free afterwards."""
        connection, self.connection = self.connection, None
        if connection is not None:
            with suppress(OSError, WebSocketException):
                connection.send(json.dumps({"type": "close"}))
                connection.recv(CLOSING)  # the server ends the session, and then the connection
            connection.close()

    def __del__(self) -> None:
        if getattr(self, "connection", None) is not None:
            self.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> "OpenEnvTask":
        """Return an environment with a session of its own, in the same state."""
        copied = object.__new__(OpenEnvTask)
        copied.__dict__.update(self.__dict__)
        copied.connection = None
        if self.state is not None:
            copied.restore(self.state)
        return copied
