"""The words that the grammar knows whatever the things are: `assets/grammar.json`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from lmrl.tasks.assets import read_json


@dataclass(frozen=True)
class Lexicon:
    """Words by what they do in a question.

    Attributes:
        unstemmed: words that keep their ending.
        irregular: irregular form -> base form.
        participles: participles that do not end with `ed`.
        digits: digits -> number in words.
        numbers: number in words -> value.
        determiners: articles and possessives; left out everywhere.
        adverbs: adverbs that change nothing in what a question asks.
        generic: nouns that fit every thing (`object`, `kind`).
        fillers: all words that change nothing in what a question asks; a phrase of the table takes
            precedence.
        heads: nouns after which `you eat`, `used for` or `that flies` says more of the thing.
        negations: words that negate.
        forms_of_be: auxiliaries of the passive.
        auxiliaries: auxiliary verbs.
        forms_of_do: auxiliaries after which a verb follows.
        waiting: words that with a `to` stand before the verb that matters.
        articles_of_it: determiners of the hidden thing (`the`, `this`).
        names_of_it: nouns that mean the hidden thing after one of `articles_of_it`.
        it: pronouns that mean the hidden thing.
        pronouns: pronouns that are read as `it`.
        people: words that mean people without an article.
        persons: nouns that mean people.
        before_persons: words that may stand before one of `persons`.
        agents: nouns that mean somebody who acts.
        interjections: words that may open a question.
        carriers: verbs that add nothing to the place, the purpose or the class that follows.
        before_places: words that may follow one of `carriers`.
        preamble: words that may stand before the name in a question that claims to know the thing.
        afterthoughts: words that may stand after that name.
        before_verbs: words after which a name is a verb (`can you fly`).
        measures: comparative -> (1 for more or -1 for less, measure).
        adjectives: adjective -> measure.
        units: stem of a unit -> (its size in centimetres, kilograms, dollars or km/h, measure).
    """

    unstemmed: frozenset[str]
    irregular: Mapping[str, str]
    participles: frozenset[str]
    digits: Mapping[str, str]
    numbers: Mapping[str, float]
    determiners: frozenset[str]
    adverbs: frozenset[str]
    generic: frozenset[str]
    fillers: frozenset[str]
    heads: frozenset[str]
    negations: frozenset[str]
    forms_of_be: frozenset[str]
    auxiliaries: frozenset[str]
    forms_of_do: frozenset[str]
    waiting: frozenset[str]
    articles_of_it: frozenset[str]
    names_of_it: frozenset[str]
    it: frozenset[str]
    pronouns: frozenset[str]
    people: frozenset[str]
    persons: frozenset[str]
    before_persons: frozenset[str]
    agents: frozenset[str]
    interjections: frozenset[str]
    carriers: frozenset[str]
    before_places: frozenset[str]
    preamble: frozenset[str]
    afterthoughts: frozenset[str]
    before_verbs: frozenset[str]
    measures: Mapping[str, tuple[int, str]]
    adjectives: Mapping[str, str]
    units: Mapping[str, tuple[float, str]]


@cache
def lexicon() -> Lexicon:
    """Return the lexicon, read once per process."""
    table = read_json("grammar.json")
    words = {name: frozenset(" ".join(lines).split()) for name, lines in table["words"].items()}
    words["fillers"] |= words["adverbs"] | words["generic"]
    words["heads"] |= words["generic"]
    irregular = {
        form: base for base, listed in table["irregular"].items() for form in listed.split()
    }
    return Lexicon(
        irregular=irregular,
        digits=table["digits"],
        numbers=table["numbers"],
        measures={word: (sign, measure) for word, (sign, measure) in table["measures"].items()},
        adjectives=table["adjectives"],
        units={unit: (size, measure) for unit, (size, measure) in table["units"].items()},
        **words,
    )
