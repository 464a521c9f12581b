"""The environment of Car Dealer: a talk, its limit and its reward."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal

from lmrl.env import Player, Step, TextEnv, Wording
from lmrl.errors import UsageError, unknown
from lmrl.limits import COUNT
from lmrl.seeds import fresh_seed
from lmrl.tasks.car_dealer.buyer import HEADER, ScriptedBuyer
from lmrl.tasks.car_dealer.deals import (
    ASK_VERDICT,
    LONGEST_REPLY,
    MARKER,
    REWARDS,
    Deal,
    read_deal,
)
from lmrl.tasks.car_dealer.human import HumanBuyer
from lmrl.tasks.car_dealer.profiles import START_OPTIONS, Profile, are_budgets, checked
from lmrl.tasks.car_dealer.sellers import PLAYERS
from lmrl.tasks.car_dealer.wordings import WORDINGS
from lmrl.tasks.oracle_protocol import Oracle, as_oracle, one_line


@dataclass
class DealerState:
    """What changes during an episode.

    Attributes:
        profile: the buyer's.
        lines: the utterances of both sides, without newlines.
        deal: the verdict, once it was given.
        malformed: replies of the buyer that were empty, or no verdict when one was due.
        running: whether the episode goes on.
    """

    profile: Profile
    lines: list[str] = field(default_factory=list)
    deal: Deal | None = None
    malformed: int = 0
    running: bool = True


class CarDealer(TextEnv):
    """Car Dealer of LMRL-Gym; the package's docstring has the rules.

    Args:
        buyer: callable that answers the prompts of `CarDealer.prompt`; None is the scripted buyer.
        reward_mode: a name in `REWARDS`; None is `fancy` if `faithful` and `sale` if not.
        max_utterances: number of utterances of both sides until the buyer has to decide.
        fix_reprompt: whether the verdict at the limit counts (D1); None is `not faithful`.
        faithful: behave as the published code does, quirks included.
        budgets: budgets to draw from, in dollars; None is the five published ones.
    """

    oracle_option = "buyer"
    human_oracle = HumanBuyer
    instructions = (
        "You sell cars. Sell one to the customer for as much of their budget as you can: find out "
        "which brand, type and features they want and what they can spend, then offer such a car, "
        "with its list price (MSRP) and your own price, and agree on a deal before they lose "
        "patience. An action is one thing that you say to the customer, on one line, for example: "
        "What are you looking for? or: I have a red Ford truck. Its MSRP is $40,000, but I will "
        "sell it for $38,000."
    )

    def __init__(
        self,
        buyer: Oracle | Callable[[str], str] | None = None,
        reward_mode: Literal["fancy", "revenue", "sale"] | None = None,
        max_utterances: Annotated[int, COUNT] = 50,
        fix_reprompt: bool | None = None,
        faithful: bool = False,
        budgets: Sequence[int] | None = None,
    ) -> None:
        if type(max_utterances) is not int or max_utterances < 1:
            raise UsageError(
                f"car-dealer option max_utterances is {max_utterances!r}; "
                "give an integer of 1 or more"
            )
        if buyer is not None and not callable(buyer):
            raise UsageError(
                f"car-dealer option buyer is {buyer!r}; give a callable from a prompt to a reply"
            )
        if budgets is not None and not are_budgets(budgets):
            raise UsageError(
                f"car-dealer option budgets is {budgets!r}; give a list of integers above 0"
            )
        mode = reward_mode or ("fancy" if faithful else "sale")
        if mode not in REWARDS:
            raise unknown("car-dealer reward_mode", mode, REWARDS)
        self.buyer = as_oracle(ScriptedBuyer() if buyer is None else buyer, "car-dealer")
        self.reward, self.reward_range, self.score_range = REWARDS[mode]
        self.max_utterances = max_utterances
        self.max_turns = (max_utterances + 1) // 2
        self.fix_reprompt = not faithful if fix_reprompt is None else fix_reprompt
        self.faithful = faithful
        self.budgets = budgets
        self.state: DealerState | None = None

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Draw a buyer; `options` replace parts of its profile, named as in `Profile`.

        Raises:
            UsageError: for an unknown option, or a value that no buyer has.
        """
        options = dict(options or {})
        for option in options:
            if option not in START_OPTIONS:
                raise unknown("car-dealer start option", option, START_OPTIONS)
        seed = fresh_seed() if seed is None else seed
        profile = Profile.drawn(random.Random(seed), self.budgets)
        if "preferred_features" in options:
            options["preferred_features"] = tuple(options["preferred_features"])
        self.state = DealerState(checked(replace(profile, **options)))
        return HEADER, {
            "seed": seed,
            "oracle": self.buyer.name,
            "oracle_version": self.buyer.version,
        }

    def prompt(self) -> str:
        """Return what the buyer reads: its profile, and the conversation a line an utterance."""
        assert self.state is not None
        lines = "".join(line + "\n" for line in self.state.lines)
        return HEADER + self.state.profile.line + lines

    def step(self, action: str) -> Step:
        """Say something to the buyer."""
        state = self.state
        if state is None or not state.running:
            raise RuntimeError("the car-dealer episode is over; call reset first")
        state.lines.append(self._of_seller(action))
        prompt = self.prompt()
        said = self._of_buyer(self.buyer(prompt))
        state.malformed += not said.strip()
        state.deal, text = read_deal(said)
        over = len(state.lines) + 1 >= self.max_utterances
        if state.deal is None and over:
            given = self.buyer(prompt + said.removesuffix("\n") + ASK_VERDICT)
            state.deal, rest = self._last_verdict(given)
            state.malformed += state.deal is None
            if self.faithful and state.deal is not None:
                text = rest  # published: the completion repeats the utterance
        state.lines.append(text.strip())
        text = text if self.faithful else text.strip() + "\n"
        if state.deal is None and not over:
            return Step.going(text, 0.0)
        state.running = False
        deal = state.deal
        figures: dict[str, Any] = {}
        if deal is not None:
            figures = {"msrp": deal.msrp, "price": deal.price or 0}
        return Step.ended(
            text,
            0.0 if deal is None else self.reward(state.profile.budget, deal),
            success=deal is not None and deal.bought,
            oracle=self.buyer.name,
            oracle_version=self.buyer.version,
            oracle_malformed=state.malformed,
            **figures,
        )

    def _of_seller(self, action: str) -> str:
        # A seller that writes the verdict itself must not talk a language model into repeating it.
        return action.strip() if self.faithful else one_line(MARKER.sub("", action[:10_000]))

    def _of_buyer(self, reply: str) -> str:
        if not self.faithful:
            reply = " ".join(reply[: 4 * LONGEST_REPLY].split())[:LONGEST_REPLY]
        return reply.removesuffix("\n") + "\n"

    def _last_verdict(self, reply: str) -> tuple[Deal | None, str]:
        reply = self._of_buyer(reply)
        deal, rest = read_deal(reply)
        if deal is None and self.fix_reprompt:
            deal, rest = read_deal(ASK_VERDICT + reply.lstrip())
        return deal, rest

    players: Mapping[str, Callable[[Any, random.Random], Player]] = PLAYERS
    wordings: ClassVar[Mapping[str, Wording]] = WORDINGS
    variants: Mapping[str, Mapping[str, Any]] = {
        "reworded": {"wording": "reworded"},
        "distractor": {"wording": "distractor"},
        "hostile": {"wording": "hostile"},
        "unseen-budgets": {"budgets": [20_000, 40_000, 60_000, 80_000]},
    }
