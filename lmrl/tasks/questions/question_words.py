"""The words of a question without what surrounds it: `hmm`, `do you think`, `right?`."""

import re
from functools import cache
from typing import NamedTuple

from lmrl.tasks.questions.lexicon import lexicon

_TOKEN = re.compile(r"[a-z]+|\d+(?:\.\d+)?|,")
_CONTRACTIONS: tuple[tuple[str, str], ...] = (
    (r"\bcan't\b|\bcannot\b", "can not"),
    (r"\bwon't\b", "will not"),
    (r"n't\b", " not"),
    (r"\b(it|that|what|he|she|there|thing|object)'s\b", r"\1 is"),
    (r"'d\b", " would"),
    (r"'ll\b", " will"),
    (r"'re\b", " are"),
    (r"'ve\b", " have"),
    (r"'m\b", " am"),
)
_TAGS = (
    r"(?:,? (?:right|correct|then|please|though|at all|too|you know|huh|yeah|by any chance|yes|no"
    r"|is (?:it|that|this) (?:right|correct|true|it)|am i (?:right|correct|close)"
    r"|or not|or something(?: like that)?|or anything|or so|in general|maybe|perhaps|possibly"
    r"|as well|or similar|in any way|most of the time|these days|nowadays|today|etc"
    r"|(?:is|are|does|do|can|could|would|was)(?: not)? (?:it|you|they|we|people|that|this)"
    r"|when (?:it is )?(?:being )?(?:in use|used)|(?:when|while|as) (?:you|people|i|we) (?:are )?"
    r"(?:use|using) it|(?:in order )?to (?:work|function|operate)|in order to be used|,))+$"
)
"""What may follow a question."""
_DENIED = re.compile(
    r"^(?P<before>(?:\w+ ){0,4}?(?:is|are|was|does|do|did|can|could|would|will|has|have) )not "
    r"(?P<rest>.*?)(?: ,)? (?:is|are|was|does|do|did|can|could|would|will|has|have) "
    r"(?:it|you|they|we|that|this|people)$"
)
"""What is denied and asked all the same: `You can't eat it, can you?` hears what `Can you eat it?`
does."""
_INTRODUCTIONS = (
    r"^(?:i am (?:\w+ )?(?:sure|certain|confident|positive)(?: that)?(?: now)?"
    r"|i (?:am going|will go|would go|go) with|(?:do )?you mean"
    r"|i am (?:thinking|guessing|wondering|going to guess)(?: if| that| of| it is| about)?"
    r"|i (?:think|guess|believe|wonder|bet|assume|suppose|know)(?: i know it| it is)?"
    r"(?: that| if)?"
    r"|i (?:think i )?(?:know|have got|got) (?:it|what it is|this)"
    r"|(?:ok )?let me (?:guess|think|see)"
    r"|(?:do|would) you (?:think|believe|say|agree)(?: that)?(?! of)"
    r"|(?:can|could|may|should) (?:we|i) (?:say|assume|ask|conclude)(?: that| if)?"
    r"|is it (?:true|possible|correct|fair to say|safe to say|right)(?: to say)? that"
    r"|am i (?:right|correct)(?: that| in thinking(?: that)?| to think(?: that)?)?"
    r"|(?:my )?(?:final |next )?(?:guess|question)(?: is)?|by any chance"
    r"|(?:can|could) you tell me if"
    r"|tell me(?: if)?|just to (?:be sure|be clear|confirm|check|clarify)|to be clear|what about"
    r"|how about|in general|generally speaking|wait|got it|i see|one more|are we talking about)"
    r"(?: ,)? (?=\S)"
)
"""What may introduce a question."""
_REWRITTEN: tuple[tuple[str, str], ...] = (
    (r"^is it (?:possible|ok|okay|okay|safe|easy|fun|normal|common)(?: for \w+)? to "
     r"(?=(?:\w+ ){1,4}(?:it|one)\b)", "can you "),
    (r"\b((?:need|require|use|take)s? (?:\w+ ){1,4}?)(?:in order )?"
     r"to (?:use|operate|play|ride|fly|drive|work with) (?:it|this|one)$", r"\1"),
    (r"\bit (?:has|have|got|ought) to be\b", "it is"),
    (r"^is (?:a |an |the )?(.+?) (?:your|the) (?:(?:secret|hidden|right) )?"
     r"(?:city|answer|object|hometown|word|thing|one)$", r"is it \1"),
    (r"\bbe able to\b", ""),
    (r"\b(?:are|is) (you|people|it|i) (?:even )?able to\b", r"can \1"),
    (r"\b(?:a|an|the) (?:kind|type|sort|form|piece|pair|set|article|item|bit) of\b", "a"),
    (r"\b(?:kind|sort) of\b", ""),
    (r"\bbelongs? to (?:a |the )?(?:family|category|group|class)(?: of)?\b", "be a"),
    (r"\b(?:belong|fall)s? (?:to|in|into|under) (?:a |the )?(?:family|category|group|class) "
     r"(?:of)?\b", "be a"),
    (r"\b(?:in|(?:a |the )?(?:part|member) of|from) the (\w+) (family|category|group)\b",
     r"\1 \2"),
    (r"\bcount(?:s|ed)? as\b", "be"),
    (r"\b(?:a lot|lots) of\b", "many"),
    (r"\bmore than (?:one|two|three) (?:person|people)\b", "several people"),
    (r"\b(?:(?:about|roughly|approximately|around|close to) )?the (?:same )?size (?:of|as)\b",
     "size"),
    (r"\bsimilar in size to\b", "size"),
    (r"\bmore than one of (?:it|them)\b", "more_than_one"),
    (r"\b(?:by|for) (?:most |many )?(?:people|humans|human beings|a person|a human|someone|you"
     r"|everyone|anyone|us)$", "by people"),
    (r"\bthe (?:object|thing|item|animal|one) (?:that )?(?:you are thinking (?:of|about)"
     r"|you have in mind|you thought of|in question|i am looking for|i have to guess)\b", "it"),
    (r"\bwhat (?:you are thinking of|you have in mind|i am looking for)\b", "it"),
    (r"\b(?:do|does|did|would|should) (you|i|people|we) (?:need|have|want) to\b", r"do \1"),
    (r"\b(?:have|has) (?:anything|something|a lot|much) to do with\b", "relate to"),
    (r"\b(use|used|useful|good|meant|intended|designed|great|suitable|helpful|made|built|there"
     r"|handy) (?:it )?(?:to|for)\b(?! (?:by|in|with|me|you|it)\b)", "use it for"),
    (r"\buse it for be (\w+)", r"use it for \1 it"),
    (r"\b(?:purpose|function|use|job) (?:is )?(?:for|to)(?: be)?\b", "use it for"),
    (r"\b(?:made|make|makes|consists?|composed|constructed|crafted|built) (?:\w+ly |it )*"
     r"(?:out of|up of|of|from|with|using)(?! (?:it|this|that|them)\b)", "made"),
    (r"\b(?:made|composed) (?:\w+ly )?(?:in part|partly) (?:of|from)\b", "made"),
)  # fmt: skip
"""Ways to say something, each with the one that the grammar reads."""


class Patterns(NamedTuple):
    """The regular expressions above, compiled."""

    contractions: list[tuple[re.Pattern[str], str]]
    tags: re.Pattern[str]
    introductions: re.Pattern[str]
    rewritten: list[tuple[re.Pattern[str], str]]


@cache
def _patterns() -> Patterns:
    return Patterns(
        [(re.compile(pattern), full) for pattern, full in _CONTRACTIONS],
        re.compile(_TAGS),
        re.compile(_INTRODUCTIONS),
        [(re.compile(pattern), replacement) for pattern, replacement in _REWRITTEN],
    )


def question_words(question: str) -> list[str]:
    """Return the words of a question, digits and commas among them, without what surrounds it.

    Contractions are spelled out, and several ways to say the same become one.
    """
    known, patterns = lexicon(), _patterns()
    text = question.lower()
    if "’" in text:
        text = text.replace("’", "'")
    if "'" in text or "cannot" in text:
        for pattern, full in patterns.contractions:
            text = pattern.sub(full, text)
    words = [known.digits.get(word, word) for word in _TOKEN.findall(text.replace("$", " usd "))]
    if len(words) > 60:
        return words
    before = 0
    while before != len(words):
        before = len(words)
        at = 0
        while at < len(words) - 1 and words[at] in known.interjections:
            at += 1
        text = " ".join(words[at:])
        if text.startswith(("is ", "are ", "does ", "do ", "can ", "did ")) is False:
            text = _DENIED.sub(r"\g<before>\g<rest>", text)
        text = patterns.introductions.sub("", text)
        if len(words) - at > 2:
            text = patterns.tags.sub("", text)
        words = text.split()
    for pattern, replacement in patterns.rewritten:
        text = pattern.sub(replacement, text)
    return text.split()
