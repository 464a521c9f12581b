"""What instruct models say, without what surrounds it: one parser for players and for oracles."""

import re

NOTHING = "(nothing)"
"""Stands for an empty text, which not every server takes as a message."""

_THINK = r"(?:think|thinking|thought|thoughts|reasoning)"
_THOUGHT = re.compile(rf"<({_THINK})>.*?</\1>", re.DOTALL | re.IGNORECASE)
_THOUGHT_END = re.compile(rf"</{_THINK}>", re.IGNORECASE)
_THOUGHT_BEGIN = re.compile(rf"<{_THINK}>.*", re.DOTALL | re.IGNORECASE)

_TURN_BEGIN = re.compile(
    r"<\|im_start\|>\s*assistant\b|<\|start_header_id\|>\s*assistant\s*<\|end_header_id\|>"
    r"|<start_of_turn>\s*model\b"
)
_TURN_END = re.compile(
    r"<\|(?:im_end|eot_id|eom_id|end|endoftext|end_of_text|return|call)\|>|</s>|<eos>"
    r"|<end_of_turn>|<turn\|>|<｜end▁of▁sentence｜>"
)

_ANSWER = re.compile(r"<(answer|action)>(.*?)(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\s*\{")
_COMMAND = re.compile(r"\\(?:text|textbf|mathrm|mathbf|texttt)\s*\{(.*)\}", re.DOTALL)

_LINE = re.compile(r"\r\n|\r|\n")
"""What ends a line; `str.splitlines` also splits at U+2028, U+0085 and others, which do not."""

_FENCE = re.compile(r"```\w*")
_LABEL = re.compile(
    r"(?:(?:my|the|your|next|final)\s+)*"
    r"(?:action|answer|assistant|command|guess|message|move|question|reply|response)"
    r"(?:\s+\d+)?(?:\s+is)?\s*:\s*",
    re.IGNORECASE,
)
_CHOICE = re.compile(
    r"[*_\s]*(?:(?:my|the|your|next)\s+)*(?:(?:final\s+)?action|final\s+(?:answer|move|guess))"
    r"(?:\s+\d+)?(?:\s+is)?[*_\s]*:",
    re.IGNORECASE,
)
"""The line of a longer reply that has the action, like that after a line `Thought:`."""

_LIST = re.compile(r"(?:[-*•>]|#{1,6}|\d{1,2}[.)])\s+")
_PAIRS = ("**", "__", "```", "`", "*", '"', "'", ("“", "”"), ("‘", "’"), ("«", "»"))


def spoken(reply: str) -> str:
    """Return what a reply says: without thoughts, marks of turns, and the tags of an answer.

    Thoughts stand in `<think>` or a tag like it. Chat templates may write the opening tag into the
    prompt, so that only the closing one is in the reply; one that is not closed was cut by the
    limit of tokens, and nothing was said. What follows an end of turn is not this turn's.
    """
    text = _THOUGHT.sub("", reply)
    text = _THOUGHT_END.split(text)[-1]
    text = _THOUGHT_BEGIN.sub("", text)
    parts = (part.strip() for part in _TURN_END.split(_TURN_BEGIN.sub("", text)))
    text = next((part for part in parts if part), "")
    answers = list(_ANSWER.finditer(text))
    return answers[-1][2].strip() if answers else text


def read_action(reply: str) -> str:
    r"""Return the action in a reply; empty if there is none.

    It is what stands in the last `<answer>` or `\boxed{}`, or in the first line `Action:`, or else
    in the first line that says something. Quotation marks, Markdown and labels are left out.
    """
    text = spoken(reply)
    boxed = _boxed(text)
    lines = _LINE.split(text if boxed is None else boxed)
    first = next((i for i, line in enumerate(lines) if _CHOICE.match(line)), 0)
    for line in [*lines[first:], *lines[:first]]:
        said = line.strip()
        if _FENCE.fullmatch(said):
            continue
        said = _bare(said)
        if said:
            return "" if said == NOTHING else said
    return ""


def _boxed(text: str) -> str | None:
    r"""Return what is in the last `\boxed{}`, whose braces may hold others; None without one."""
    found = list(_BOXED.finditer(text))
    if not found:
        return None
    inside, depth = text[found[-1].end() :], 1
    for place, letter in enumerate(inside):
        depth += (letter == "{") - (letter == "}")
        if depth == 0:
            inside = inside[:place]
            break
    while command := _COMMAND.fullmatch(inside.strip()):
        inside = command[1]
    return inside


def _bare(text: str) -> str:
    """Return a line without marks and labels around it, however they are nested."""
    while True:
        before = text
        for pattern in (_LIST, _LABEL):
            found = pattern.match(text)
            text = text[found.end() :] if found else text
        for pair in _PAIRS:
            left, right = (pair, pair) if isinstance(pair, str) else pair
            if text.startswith(left) and text.endswith(right):
                text = text[len(left) : max(len(left), len(text) - len(right))]
            elif left in ("**", "__") and text.startswith(left) and text.count(left) == 2:
                text = text.replace(left, "")  # **Action:** move up
        text = text.strip()
        if text == before:
            return text
