"""Conversations of the published data set."""

from collections.abc import Mapping
from typing import Any

from lmrl.tasks.car_dealer.buyer import HEADER
from lmrl.tasks.car_dealer.deals import REWARDS, Deal
from lmrl.tasks.car_dealer.profiles import Profile


def conversations(data: Any) -> list[Mapping[str, Any]]:
    """Return recorded conversations from a list of them, or from lists by personality (D5)."""
    if isinstance(data, Mapping):
        return [conversation for group in data.values() for conversation in group]
    return list(data)


def recorded_deal(output: Mapping[str, Any]) -> Deal:
    """Return a verdict from its published record; who did not buy has no price."""
    bought = bool(output["car_bought"])
    return Deal(bought, output["msrp"], output["buy_price"] if bought else None)


def negotiation_texts(
    conversation: Mapping[str, Any], role: str = "Seller", reward_mode: str = "fancy"
) -> list[tuple[str, bool, float]]:
    """Return a recorded conversation as (text, is it an action, reward).

    Args:
        conversation: `buyer_info`, `lines` and, if it has ended, `output`.
        role: whose utterances are the actions, `Seller` or `Buyer`; the latter sees its profile,
            and its last action is the verdict.
        reward_mode: reward function of the seller's last action, a name in `REWARDS`.
    """
    info = conversation["buyer_info"]
    profile = Profile(**{**info, "preferred_features": tuple(info["preferred_features"])})
    texts = [(HEADER, False)] + ([(profile.line, False)] if role == "Buyer" else [])
    lines = [(line["text"], line["role"] == role) for line in conversation["lines"]]
    output = conversation.get("output")
    if output is not None and role == "Buyer":
        lines.append((recorded_deal(output).line, True))
    for text, is_action in lines:
        if is_action and texts[-1][1]:  # an actor that speaks twice says it all at once
            texts[-1] = (texts[-1][0].rstrip("\n") + " " + text.rstrip("\n") + "\n", True)
        else:
            texts.append(((text.rstrip("\n") if is_action else text) + "\n", is_action))
    rewards = [0.0] * len(texts)
    actions = [number for number, (_, is_action) in enumerate(texts) if is_action]
    if output is not None and role == "Seller" and actions:
        reward = REWARDS[reward_mode][0]
        rewards[actions[-1]] = reward(profile.budget, recorded_deal(output))
    return [(text, act, reward) for (text, act), reward in zip(texts, rewards, strict=True)]
