"""Amounts in what a seller or a buyer says: list prices, prices and discounts, also in words."""

import re

LOWEST_PRICE, HIGHEST_PRICE = 500, 1_000_000
"""Amounts in dollars outside this range are not the price of a car."""
_AMOUNT = re.compile(
    r"(?<![\w.,])(?P<cash>\$ ?)?(?P<number>[0-9][0-9,]*(?:\.[0-9]+)?)"
    r"(?: ?(?P<unit>k|grand|thousand|dollars|bucks|usd)\b)?(?P<percent> ?(?:%|percent\b))?",
    re.I,
)
_LIST_BEFORE = re.compile(
    r"\b(msrp|list|lists|listed|list price|sticker|sticker price|retail|retail price)"
    r"[ :=]*((of|is|was|at|for|price|it|the)[ :=]+){0,4}$",
    re.I,
)
_LIST_AFTER = re.compile(r"^ ?\(?(msrp|list|sticker|retail)\b", re.I)
_OFF_BEFORE = re.compile(
    r"\b(by|(discount|rebate|reduction) of|sav(e|es|ing)( you)?|knock( off)?|take off|cut( off)?"
    r"|come down|shave off|minus|less)\s+((the|a|an|another|about|up to)\s+)*$",
    re.I,
)
_OFF_AFTER = re.compile(
    r"^[ -]?((price|dollar) )?(off|discount|less|rebate|cheaper|lower|reduction|below)\b", re.I
)
_KINDS_OF_FEE = r"(documentation|doc|dealer|delivery|processing|registration|admin|service|extra)"
_OTHER = (
    r"(fees?|charges?|deposit|down payment|warranty|insurance|tax(es)?|delivery|registration"
    r"|trade-?in)\b"
)
_OTHER_BEFORE = re.compile(
    _OTHER + r"( (value|payment))?( (is|of|for|costs?))?[ :]+(only |just |about )*$", re.I
)
_OTHER_AFTER = re.compile(
    rf"^ ?((in|for|of|refundable|security|{_KINDS_OF_FEE}) )*{_OTHER}"
    r"|^ ?(down|monthly|(a|per|each|every) (month|week|year))\b|^ ?/ ?(month|mo|week|year)\b"
    r"|^ ?(miles|mph|mpg|km|hp|horsepower|years?|seats|interest|apr|financing)\b"
    r"|^ ?(worth of|cash ?back|(of|in|worth of) (extras|accessories|options|repairs))\b"
    r"|^ ?(for|on) your (old |current )?(car|trade|vehicle)",
    re.I,
)
"""What makes an amount a fee, an instalment or no money at all."""
_NO_PRICE_BEFORE = re.compile(
    r"\b(not (for|at)|instead of|rather than|compared to|down from|(it|they|that) was"
    r"|used to (be|cost)|last year[^.]*|competitors?[^.]*|others?[^.]*(sell|charge|ask)[^.]*"
    r"|(resale|trade-in) value( is)?|starts? (at|from)|range from|between|anywhere from|throw in"
    r"|(you )?asked for|you (said|offered)|g(i|a)ve you)\s+((about|only|just|around|the|a)\s+)*$",
    re.I,
)
"""What makes an amount another one than the price of the car on offer."""
_AFTER_BARE = re.compile(
    r"^\s*($|[.,;:!?)-]|(even|final|flat|and|but|or|for|today|instead|now|all|plus|with|if|then|is"
    r"|as|msrp|list|sticker|retail|off|discount|less|cheaper|lower|to|on|out|cash|would|sounds?"
    r"|ok(ay)?)\b)",
    re.I,
)
"""What follows a number that is a price although nothing says that it is money."""
_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORDS = {word: value for value, word in enumerate(_SMALL.split())} | {
    word: 10 * value for value, word in enumerate(_TENS.split(), 2)
}
_FIRST_WORD = rf"(?:{'|'.join(_WORDS)})"
_NEXT_WORD = rf"(?:{'|'.join(_WORDS)}|hundred|thousand)"
_IN_WORDS = re.compile(rf"\b{_FIRST_WORD}(?:(?:[ -]| and ){_NEXT_WORD})*\b", re.I)
_HALF = re.compile(r"\bhalf (the price|price|off)\b", re.I)


def in_digits(text: str) -> str:
    """Return a text with its numbers in digits; `twenty-eight five` is the price 28500."""
    if not _IN_WORDS.search(text):
        return text
    return _IN_WORDS.sub(lambda match: str(_number(re.split("[ -]+", match[0].lower()))), text)


def _number(words: list[str]) -> int:
    """Return the number that words mean."""
    total = part = 0
    last = 100
    for word in words:
        if word == "and":
            continue
        if word == "thousand":
            total, part, last = total + max(1, part) * 1000, 0, 100
        elif word == "hundred":
            part, last = max(1, part) * 100, 100
        else:
            value = _WORDS[word]
            if part >= 20 and not total and not (last in range(20, 100, 10) and value < 10):
                # `twenty-eight five`: thousands, and hundreds after them
                total, part = part * 1000, value * (100 if value < 10 else 10)
            else:
                part += value
            last = value
    return total + part


def amounts(text: str) -> dict[str, float]:
    """Return the last amount of each sort in a text: `msrp`, `price`, `off`.

    Amounts are dollars; an `off` below 1 is a share. Fees, deposits and instalments are none.
    """
    text = in_digits(text)
    found: dict[str, float] = {"off": 0.5} if _HALF.search(text) else {}
    for match in _AMOUNT.finditer(text):
        value = float(match["number"].replace(",", ""))
        before, after = text[max(0, match.start() - 60) : match.start()], text[match.end() :][:40]
        if _OTHER_AFTER.match(after) or _OTHER_BEFORE.search(before):
            continue
        if _NO_PRICE_BEFORE.search(before) and not _OFF_AFTER.match(after):
            continue
        if match["percent"]:
            if 0 < value < 100:
                found["off"] = value / 100
            continue
        unit = (match["unit"] or "").lower()
        value *= 1000 if unit in ("k", "grand", "thousand") else 1
        # A bare number below 2100 may be a year.
        if not (match["cash"] or unit or "," in match["number"].strip(",") or value > 2100):
            continue
        if value > HIGHEST_PRICE:
            continue
        if not (match["cash"] or unit or _AFTER_BARE.match(after) or _OFF_AFTER.match(after)):
            continue
        if _OFF_AFTER.match(after) or _OFF_BEFORE.search(before):
            found["off"] = max(value, 1.0)
        elif value >= LOWEST_PRICE:
            is_list = _LIST_BEFORE.search(before) or _LIST_AFTER.match(after)
            found["msrp" if is_list else "price"] = value
    return found
