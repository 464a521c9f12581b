"""Files of Car Dealer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lmrl.data.bad_rows import BadRows
from lmrl.data.formats.episode import Item, action, alternating, trajectory
from lmrl.data.json_rows import Field, entries
from lmrl.tasks.car_dealer.recorded import negotiation_texts
from lmrl.trajectory import Trajectory


def car_dealer_talks(file: Path, bad: BadRows) -> Iterator[Trajectory]:
    """Read Car Dealer, from the seller's side.

    The file is an object of lists by personality, or one list. A row is `{"buyer_info", "lines":
    [{"role", "text"}, ...], "output": {"car_bought", "msrp", "buy_price"}}`; without `output` the
    talk is truncated. The last thing that the seller says earns the published `fancy` reward. What
    an actor says in several lines is said at once, with a space between the seller's.
    """

    def sold(row: Field) -> Trajectory:
        talk: dict[str, Any] = {
            "buyer_info": _buyer(row["buyer_info"]),
            "lines": _utterances(row["lines"]),
        }
        if "output" in row:
            talk["output"] = _verdict(row["output"])
        texts = negotiation_texts(talk)
        turns, final = alternating([Item(*text) for text in texts], row["lines"])
        facts = {"buyer_info": talk["buyer_info"]}
        if "output" in talk:
            facts |= {"output": talk["output"], "success": talk["output"]["car_bought"]}
        return trajectory("car-dealer", file, turns, final, "output" in row, None, **facts)

    yield from bad.each(entries(file), sold)


def _buyer(info: Field) -> dict[str, Any]:
    plain = {
        name: info[name].text() for name in ("personality", "preferred_brands", "preferred_type")
    }
    features = [feature.text() for feature in info["preferred_features"].items()]
    return {**plain, "preferred_features": features, "budget": info["budget"].whole()}


def _utterances(said: Field) -> list[dict[str, str]]:
    found = []
    for line in said.items():
        role, text = line["role"].text(), line["text"]
        if role not in ("Seller", "Buyer"):
            raise line["role"].wrong(f"is {role[:40]!r}, not 'Seller' or 'Buyer'")
        found.append({"role": role, "text": action(text) if role == "Seller" else text.text()})
    return found


def _verdict(output: Field) -> dict[str, Any]:
    price = output["buy_price"].whole() if "buy_price" in output else None
    bought, msrp = output["car_bought"].flag(), output["msrp"].whole()
    return {"car_bought": bought, "msrp": msrp, "buy_price": price}
