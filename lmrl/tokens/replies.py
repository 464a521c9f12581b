"""Parser of instruct models' replies, for players and oracles.

It removes thoughts, turn marks, Markdown and labels.
"""

import re

NOTHING = "(nothing)"
"""Replacement of an empty text, which some servers do not accept as a message."""

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
"""End of a line. `str.splitlines` would also split at U+2028, U+0085 and others."""

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
"""Beginning of the line of a longer reply that has the action, for example after `Thought:`."""

_LIST = re.compile(r"(?:[-*•>]|#{1,6}|\d{1,2}[.)])\s+")
_PAIRS = ("**", "__", "```", "`", "*", '"', "'", ("“", "”"), ("‘", "’"), ("«", "»"))


def spoken(reply: str) -> str:
    """Return the text of a reply without thoughts, turn marks, and the tags of an answer.

    Thoughts are inside `<think>` or a similar tag. If a chat template puts the opening tag into the
    prompt, the reply has only the closing tag. If the tag is not closed, the thoughts were cut by
    the token limit, and the text is empty. Text after the end of the turn is dropped.
    """
    # Without an end no thought can be whole, and the search would be quadratic in the beginnings.
    text = _THOUGHT.sub("", reply) if _THOUGHT_END.search(reply) else reply
    text = _THOUGHT_END.split(text)[-1]
    text = _THOUGHT_BEGIN.sub("", text)
    parts = (part.strip() for part in _TURN_END.split(_TURN_BEGIN.sub("", text)))
    text = next((part for part in parts if part), "")
    answers = list(_ANSWER.finditer(text))
    return answers[-1][2].strip() if answers else text


def thought_ends(reply: str) -> bool:
    """Return whether a reply has the tag that ends its thoughts."""
    return _THOUGHT_END.search(reply) is not None


def thought_begins(reply: str) -> bool:
    """Return whether a reply begins with thoughts."""
    return _THOUGHT_BEGIN.match(reply.lstrip()) is not None


def read_action(reply: str) -> str:
    r"""Return the action in a reply; empty if there is none.

    The action is the content of the last `<answer>` or `\boxed{}`, or of the first line `Action:`,
    or else of the first line that is not empty. Quotation marks, Markdown and labels are removed.
    """
    text = spoken(reply)
    boxed = _boxed(text)
    lines = _LINE.split(text if boxed is None else boxed)
    first = next((i for i, line in enumerate(lines) if _CHOICE.match(line)), 0)
    for line in [*lines[first:], *lines[:first]]:
        stripped = line.strip()
        if _FENCE.fullmatch(stripped):
            continue
        action = _bare(stripped)
        if action:
            return "" if action == NOTHING else action
    return ""


def _boxed(text: str) -> str | None:
    r"""Return the content of the last `\boxed{}`, which may have inner braces; None without one."""
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
    """Return a line without the marks and labels around it, which may be nested."""
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
