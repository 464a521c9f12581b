"""What the scripted oracles understand: yes/no questions over a fixed set of things."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import product

Truth = tuple[int, int]
"""The things of which something is true, and those of which it is true or nobody can say."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _pairs(text: str) -> dict[str, str]:
    found = (entry.split(":") for entry in text.split())
    return {word: base for base, words in found for word in words.split("/")}


# -- words ----------------------------------------------------------------------------------------

_WORD = re.compile("[a-z]+")
_TOKEN = re.compile(r"[a-z]+|\d+(?:\.\d+)?|,")
_CONTRACTIONS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\bcan't\b|\bcannot\b"), "can not"),
    (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"n't\b"), " not"),
    (re.compile(r"\b(it|that|what|he|she|there|thing|object)'s\b"), r"\1 is"),
    (re.compile(r"'d\b"), " would"),
    (re.compile(r"'ll\b"), " will"),
    (re.compile(r"'re\b"), " are"),
    (re.compile(r"'ve\b"), " have"),
    (re.compile(r"'m\b"), " am"),
)
_DIGITS = _pairs("""
    one:1 two:2 three:3 four:4 five:5 six:6 seven:7 eight:8 nine:9 ten:10 eleven:11 twelve:12
    twenty:20 thirty:30 fifty:50 hundred:100 thousand:1000
""")
_NUMBERS = {word: float(digits) for digits, word in _DIGITS.items()} | {
    "a": 1.0, "an": 1.0, "twenty": 20.0, "thirty": 30.0, "fifty": 50.0, "hundred": 100.0,
    "thousand": 1000.0,
}  # fmt: skip
_UNSTEMMED = _words("""
    clothes clothing painting building drawing earring being stuffed glasses hooves keys wine care
    paste tape kite plane huge cube tube robe note sunglasses news gas lens asus movie cookie
    evening morning wedding ceiling string spring during species series meeting red need seed
""")
_IRREGULAR = _pairs("""
    eat:eaten/ate wear:worn/wore hold:held ride:ridden/rode drive:driven/drove write:written/wrote
    draw:drawn/drew throw:thrown/threw hang:hung keep:kept build:built sell:sold buy:bought
    find:found see:seen/saw grow:grown/grew use:used/using/uses make:made break:broken/broke
    freeze:frozen speak:spoken/spoke give:given/gave know:known/knew sew:sewn weave:woven
    drink:drunk/drank blow:blown/blew sing:sung take:taken/took feed:fed catch:caught dig:dug
    bend:bent fly:flown/flew swing:swung strike:struck/stricken stick:stuck bring:brought
    think:thought wind:wound leave:left sit:sat sleep:slept lie:lying/lain swim:swum/swam
    wake:woken do:done go:gone/went hide:hidden spin:spun tear:torn bite:bitten shake:shaken
    ring:rung run:ran/running shut:shutting cut:cutting put:putting hit:hitting tie:tied/tying/ties
    tell:told get:gotten/got come:came feel:felt burn:burnt light:lit shoot:shot fight:fought
    teach:taught lose:lost win:won steal:stolen choose:chosen mow:mown meet:met bind:bound
    foot:feet tooth:teeth child:children man:men woman:women mouse:mice goose:geese leaf:leaves
    knife:knives wolf:wolves shelf:shelves loaf:loaves calf:calves hoof:hooves gray:grey
    color:colour/colours/coloured jewelry:jewellery movie:movies cookie:cookies veggie:veggies
    kid:kids fuel:fuels/fueled/fuelled meter:metre/metres centimeter:centimetre/centimetres
    kilogram:kg/kgs/kilo/kilos pound:lbs/lb mow:mowing photo:photograph/photographs/pic/pics
    picture:pictures fiber:fibre travel:travelled/travelling aluminum:aluminium tire:tyre/tyres
    mom:mum/mother/mothers dad:father/fathers tv:telly/television/televisions bike:bicycle/bicycles
    fridge:refrigerator/refrigerators phone:telephone/smartphone/smartphones/cellphone/cellphones
    couch:sofa/sofas plane:airplane/airplanes/planes math:maths/mathematics
    dangerous:hazardous harbor:harbour/harbours
""")
_PARTICIPLES = _words("""
    eaten worn held ridden driven written drawn thrown hung kept built sold bought found seen grown
    made used broken frozen spoken given known sewn woven drunk blown sung taken fed caught dug bent
    flown swung struck stuck brought thought wound cut put hit set read shut lit torn told spun
    bitten lost left mown bound cast fit sent shot fought chosen
""")


@lru_cache(1 << 16)
def stem(word: str) -> str:
    """Return a word without the ending of a plural or a verb form."""
    word = _IRREGULAR.get(word, word)
    if word in _UNSTEMMED:
        return word
    if len(word) > 5 and word.endswith(("ies", "ied")):
        return word[:-3] + "y"
    for ending in ("ing", "ed", "es", "s", "e"):
        rest = word[: -len(ending)]
        if word.endswith(ending) and len(rest) >= 3 and not word.endswith(("ss", "eed")):
            if ending in ("ing", "ed") and not re.search("[aeiouy]", rest):
                continue
            if ending in ("ing", "ed") and rest[-1] == rest[-2] and rest[-1] not in "lsz":
                rest = rest[:-1]
            return rest.removesuffix("e") if len(rest) > 3 else rest
    return word


def forms(name: str) -> set[str]:
    """Return a name in lower case with its plural and its singular."""
    name = name.lower()
    plural = name + ("es" if name.endswith(("s", "x", "ch", "sh")) else "s")
    found = {name, plural}
    if name.endswith("y"):
        found.add(name[:-1] + "ies")
    if name.endswith(("fe", "f")):
        found.add(name.removesuffix("e")[:-1] + "ves")
    if name.endswith("o"):
        found.add(name + "es")
    if name.endswith("s") and not name.endswith(("ss", "us")):
        found.add(name[:-1])
    return found


def listed(text: str) -> list[str]:
    """Return the parts of a text between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def spelled(phrase: str) -> Iterator[list[str]]:
    """Yield what a phrase of a table stands for: `a/b` is a choice, `a?` or `a/b?` may be left out.

    A `_` joins words: `pick_up/lift it`.
    """
    slots = []
    for slot in phrase.split():
        choices = [choice.split("_") for choice in slot.rstrip("?").split("/")]
        slots.append([*choices, []] if slot.endswith("?") else choices)
    for chosen in product(*slots):
        yield [word for part in chosen for word in part]


# -- what means nothing ---------------------------------------------------------------------------

_DETERMINERS = _words("a an the some any your my our their his her its of such another every each")
_ADVERBS = _words("""
    usually typically normally mostly mainly often commonly generally regularly frequently sometimes
    primarily really very quite pretty fairly just actually even also too probably maybe perhaps
    basically specifically particularly especially ever still typically ordinarily naturally
    essentially likely relatively rather somewhat traditionally currently possibly potentially
    definitely certainly simply almost nearly largely customarily physically technically easily
    literally together please more_or_less both perhaps
""")
_GENERIC = _words("""
    something anything thing things object objects item items stuff type types kind kinds sort sorts
    form piece pieces article articles product products category class one ones example member
    family variety considered classified called material substance particular specific certain
    different common typical average general normal regular
""")
_FILLERS = _ADVERBS | _GENERIC | _words("have has having with made been as yes ,")
"""Words that change nothing in what a question asks; a phrase of the table goes first."""
_HEADS = _GENERIC | _words("""
    what animal animals food fruit vegetable clothing clothes instrument tool tools toy vehicle
    device place part furniture equipment appliance jewelry utensil machine gadget container plant
    accessory electronic sport creature garment supply supplies electronics
""")
"""Words after which `you eat`, `used for` or `that flies` says more of the thing."""
_NOT = _words("not never without non no isnt doesnt")
_BE = _words("is are was were be been being am get gets")
_AUXILIARIES = _words("""
    is are was were be been being am do does did can could would will should shall might may must
    has had have
""")
_DOING = _words("do does did can could would will has have")
_WAITING = _words("""
    need needs want tend tends supposed able going allowed meant expected likely have has intended
    designed required happen happens seem seems appear appears
""")
"""Words that with a `to` stand before the verb that matters."""
_THESE = _words("the this that these those your my our")
_CALLED = _words("""
    object objects thing things item items answer word one stuff product animal creature fruit
    vegetable food plant tool instrument vehicle device toy place machine appliance garment secret
    mystery hidden city town ones hometown
""")
_IT = _words("it this that they them these those he she")
_PRONOUNS = _words("this that them these those")
_PEOPLE = _words("""
    you i we us people person someone somebody anyone anybody everyone everybody human humans folks
    one
""")
_PERSONS = _words("person people human humans adult individual folks american americans beings")
_BEFORE_PERSONS = _words("a an the most many some any average normal regular typical ordinary one")
_AGENTS = _words("""
    kid kids child children man men woman women girl girls boy boys baby babies student students
    adult adults artist artists musician musicians chef chefs cook cooks doctor doctors athlete
    athletes teacher teachers gardener carpenter carpenters animal animals
""")
_INTERJECTIONS = _words("""
    so ok okay hmm hm um uh well alright and then oh ah now but great cool good thanks , hey yes
    hmmm umm next right alrighty interesting nice yeah
""")
_TAGS = re.compile(
    r"(?:,? (?:right|correct|then|please|though|at all|too|you know|huh|yeah|by any chance|yes|no"
    r"|or not|or something(?: like that)?|or anything|or so|in general|maybe|perhaps|possibly"
    r"|as well|or similar|in any way|most of the time|these days|nowadays|today|etc"
    r"|(?:is|are|does|do|can|could|would|was)(?: not)? (?:it|you|they|we|people|that|this)"
    r"|when (?:it is )?(?:being )?(?:in use|used)|(?:when|while|as) (?:you|people|i|we) (?:are )?"
    r"(?:use|using) it|(?:in order )?to (?:work|function|operate)|in order to be used|,))+$"
)
_INTRODUCTIONS = re.compile(
    r"^(?:i am (?:thinking|guessing|wondering|going to guess)(?: if| that| of| it is| about)?"
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
_REWRITTEN: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^is it (?:possible|ok|okay|okay|safe|easy|fun|normal|common)(?: for \w+)? to "
         r"(?=(?:\w+ ){1,4}(?:it|one)\b)", "can you "),
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
    )
)  # fmt: skip
_CARRIERS = frozenset(
    map(
        stem,
        _words("""
            find see use keep store locate encounter have look expect get spot place put leave
            come_across notice buy situate stay exist belong consider classify call know think refer
            regard categorize describe associate relate involve define count useful meant intend
            design good great suitable helpful handy there build make appear come
        """),
    )
)
"""Verbs that add nothing to the place, the purpose or the class that follows."""
_PLACING = _words("""
    in at on inside near around by outside indoors outdoors during with for as to be every while
    when under within into among outdoor indoor everyday daily
""")
_MEASURES = {
    "bigger": (1, "bulk"), "larger": (1, "bulk"), "taller": (1, "length"), "longer": (1, "length"),
    "wider": (1, "length"), "higher": (1, "length"), "heavier": (1, "weight"),
    "faster": (1, "speed"), "quicker": (1, "speed"), "pricier": (1, "price"),
    "smaller": (-1, "bulk"), "shorter": (-1, "length"), "tinier": (-1, "bulk"),
    "thinner": (-1, "thin"), "narrower": (-1, "thin"), "lighter": (-1, "weight"),
    "slower": (-1, "speed"), "cheaper": (-1, "price"), "thicker": (1, "thin"),
}  # fmt: skip
_MEASURED = {
    "big": "bulk", "large": "bulk", "tall": "length", "long": "length", "wide": "length",
    "small": "bulk", "heavy": "weight", "fast": "speed", "expensive": "price", "high": "length",
}  # fmt: skip
_UNITS = {
    "inch": (2.54, "length"), "foot": (30.0, "length"), "centimeter": (1.0, "length"),
    "cm": (1.0, "length"), "meter": (100.0, "length"), "yard": (91.0, "length"),
    "mil": (160000.0, "length"), "kilometer": (100000.0, "length"), "pound": (0.45, "weight"),
    "kilogram": (1.0, "weight"), "ounc": (0.028, "weight"), "gram": (0.001, "weight"),
    "ton": (1000.0, "weight"), "dollar": (1.0, "price"), "buck": (1.0, "price"),
    "euro": (1.1, "price"), "mph": (1.6, "speed"), "usd": (1.0, "price"),
}  # fmt: skip
_PREAMBLE = _words("""
    a an the some any is are was were be it that this they these those s could can would might may
    must object thing something item word answer mystery secret hidden so well ok okay then maybe
    perhaps probably i you think thinking guess believe bet my your final of about kind type sort
    piece pair set called known as named by chance actually really just simply possibly category
    animal fruit vegetable food vehicle instrument musical sport sports clothing clothes device
    furniture tool toy jewelry appliance utensil plant place material electronic electronics
    big small large little red green blue yellow white black brown gray common regular normal
    correct what have in mind one am m going to say hmm um alright and know got let me see isn t
    aren simple single plain typical actual real looking for does happen
    """)
"""Words that may stand before the name in a question that claims to know the object."""
_AFTERTHOUGHTS = _words("right then please maybe perhaps by chance correct possibly isn t it is")
_BEFORE_VERBS = _words("you i can could would might may must will to")
_PLACED = ("in", "on", "inside", "to", "with", "for", "from")
_Found = tuple[Truth | None, int]


class Grammar:
    """Names and properties of numbered things; a set of things is an integer with a bit for each.

    Args:
        sizes: of the things, for comparisons.
        fillers: words that mean nothing here, beside those of `_FILLERS`.
        preamble: words that may stand before a name, beside those of `_PREAMBLE`.

    Attributes:
        all: the set of all things.
        names: word forms -> the things they name; `winning` has those that win an episode.
        phrases: word stems -> the things that have the property.
        measures: `length`, `bulk`, `weight`, `price`, `speed` or `thin` -> that of each thing.
        references: measure -> name -> that of something to compare with.
    """

    def __init__(self, sizes: Sequence[float], fillers: str = "", preamble: str = "") -> None:
        self.sizes = sizes
        self.all = (1 << len(sizes)) - 1
        self.fillers = _FILLERS | _words(fillers)
        self.preamble = _PREAMBLE | _words(preamble)
        self.names: dict[str, int] = {}
        self.winning: dict[str, int] = {}
        self.endings: set[str] = set()  # last words of names
        self.phrases: dict[tuple[str, ...], Truth] = {}
        self.gapped: dict[tuple[str, ...], Truth] = {}  # without the `it` of `you eat it`
        self.joints: set[tuple[str, ...]] = set()  # words around an `and` or `or` in phrases
        self.longest: dict[str, int] = {}  # phrase that begins with this stem
        self.measures: dict[str, Sequence[float | None]] = {"length": sizes, "bulk": sizes}
        self.references: dict[str, dict[str, float]] = {}
        self.own: dict[str, int] = {}  # name -> the thing itself, neither bigger nor smaller
        self.judged = lru_cache(1 << 16)(self._judged)
        self.understood = lru_cache(1 << 16)(self._understood)

    # -- the table --------------------------------------------------------------------------------

    def call(self, number: int, names: Iterable[str], wins: bool) -> None:
        """Give names to a thing; those that do not win are only answered."""
        for name in names:
            for form in forms(name):
                if wins or form not in self.own:
                    self.own[form] = number
                for measure, values in self.measures.items():
                    if (value := values[number]) is not None:
                        self.references.setdefault(measure, {}).setdefault(form, value)
                self._name(form, 1 << number, wins)

    def foreign(self, names: Iterable[str]) -> None:
        """Know the names of things that are none of ours."""
        for name in names:
            for form in forms(name):
                if form not in self.names:
                    self._name(form, 0, False)

    def _name(self, form: str, mask: int, wins: bool) -> None:
        self.endings.add(form.rpartition(" ")[2])
        for table in (self.names, self.winning) if wins else (self.names,):
            table[form] = table.get(form, 0) | mask

    def compare(self, limit: float, bigger: bool) -> int:
        """Return the things that are bigger or smaller than a size."""
        return sum(
            1 << number
            for number, size in enumerate(self.sizes)
            if (size > limit if bigger else size < limit)
        )

    def mean(self, mask: int, means: str, unsure: int = 0) -> None:
        """Let phrases, separated by commas, mean a property; a phrase means the first one.

        Args:
            mask: the things that have the property.
            means: phrases as `spelled` reads them.
            unsure: the things of which nobody can say.
        """
        truth = (mask & ~unsure, mask | unsure)
        for phrase in listed(means):
            for words in spelled(phrase):
                key = tuple(stem(word) for word in words if word not in _DETERMINERS)
                if not key:
                    continue
                if key[:2] == ("use", "to"):
                    key = ("use", "for", *key[2:])
                if key[0] == "mak" and len(key) > 2 and key[1] in ("of", "from"):
                    key = ("mak", *key[2:])
                if key[:2] == ("use", "for") and self.phrases.get(key[2:]) == truth:
                    continue
                self._phrase(self.phrases, key, truth)
                if "it" in key and len(key) > 1:
                    at = key.index("it")
                    self._phrase(self.gapped, key[:at] + key[at + 1 :], truth)

    def _phrase(
        self, table: dict[tuple[str, ...], Truth], key: tuple[str, ...], truth: Truth
    ) -> None:
        table.setdefault(key, truth)
        self.longest[key[0]] = max(len(key), self.longest.get(key[0], 0))
        for at in range(1, len(key) - 1):
            if key[at] in ("and", "or"):
                self.joints.add(key[at - 1 : at + 2])

    # -- questions --------------------------------------------------------------------------------

    def _understood(self, question: str) -> int | None:
        """Return the things of which the answer is yes; None if the question is not understood."""
        found = self._judged(question)
        return None if found is None else found[0]

    def _judged(self, question: str) -> Truth | None:
        """Return the things of which the answer is yes, and those of which it is not no.

        The grammar: what changes nothing goes first (`hmm`, `do you think`, `right?`). Then a
        question claims to know the thing (words of `_PREAMBLE` and a name), or consists of clauses
        joined by `or` and `and`. A clause is a frame (`Is it`, `Do people`, `something that you`),
        and properties all of which must hold: phrases of the table, longest first, compared by word
        stems; comparisons (`bigger than a breadbox`); fillers, which mean nothing. The passive is
        read as the active (`Is it worn?` is `wear it`). `Is it not red?` is true of what is not
        red, but `Isn't it red?` hears yes of red things. Every word must be understood, and there
        must be a property. None if the question is not understood.
        """
        words = self._stripped(question)
        if not words or len(words) > 40:
            return None
        claimed = self.claimed([w for w in words if w != ","], self.names)
        if claimed is not None:
            return claimed, claimed
        if "or" in words and "," in words:
            last = len(words) - words[::-1].index("or")
            words = [
                "or" if w == "," and n < last and words[n + 1] != "or" else w
                for n, w in enumerate(words)
            ]
        return self._sentence_of([word for word in words if word != ","])

    def _stripped(self, question: str) -> list[str]:
        """Return the words of a question without what surrounds it."""
        text = question.lower()
        if "’" in text:
            text = text.replace("’", "'")
        if "'" in text or "cannot" in text:
            for pattern, full in _CONTRACTIONS:
                text = pattern.sub(full, text)
        words = [_DIGITS.get(word, word) for word in _TOKEN.findall(text.replace("$", " usd "))]
        if len(words) > 60:
            return words
        before = 0
        while before != len(words):
            before = len(words)
            at = 0
            while at < len(words) - 1 and words[at] in _INTERJECTIONS:
                at += 1
            text = " ".join(words[at:])
            text = _INTRODUCTIONS.sub("", text)
            if len(words) - at > 2:
                text = _TAGS.sub("", text)
            words = text.split()
        for pattern, replacement in _REWRITTEN:
            text = pattern.sub(replacement, text)
        return text.split()

    def _sentence_of(self, words: list[str]) -> Truth | None:
        """Return the truth of clauses joined by `or` and `and`."""
        joints = [
            n
            for n, word in enumerate(words)
            if word in ("or", "and") and 0 < n < len(words) - 1 and not self._within(words, n)
        ]
        if not joints:
            return self._clause(words)[0]
        parts = [words[: joints[0]]]
        for at, end in zip(joints, [*joints[1:], len(words)], strict=True):
            parts.append(words[at + 1 : end])
        result = self._clause(parts[0])[0]
        if result is None:
            return None
        left = parts[0]
        for at, part in zip(joints, parts[1:], strict=True):
            found, least, best = None, 99, left
            if not part:
                return None
            whole = part[0] in _AUXILIARIES and len(part) > 2
            # `a long tail and fur`: of what both share, the part that asks for nothing itself.
            for kept in range(0 if whole else len(left) - 1, -1, -1):
                candidate = left[:kept] + part
                truth, count = self._clause(candidate)
                if truth is not None and count < least:
                    found, least, best = truth, count, candidate
                    if count == 1:
                        break
            left = best
            if found is None:
                return None
            if words[at] == "or":
                result = (result[0] | found[0], result[1] | found[1])
            else:
                result = (result[0] & found[0], result[1] & found[1])
        return result

    def _within(self, words: list[str], number: int) -> bool:
        """Return whether an `or` or `and` is part of a phrase of the table."""
        return tuple(stem(word) for word in words[max(0, number - 1) : number + 2]) in self.joints

    # -- clauses ----------------------------------------------------------------------------------

    def _clause(self, words: list[str]) -> _Found:
        """Return the truth of a clause: its frame, and relative clauses that say more.

        The number is that of its properties.
        """
        segments = self._segments(words)
        result, properties = (self.all, self.all), 0
        opposite = False
        for number, (segment, relative) in enumerate(segments):
            negated, people, passive, rest = self._frame(segment, relative)
            found: Truth | None
            if not rest:
                if number == 0:
                    opposite = negated
                    continue
                return None, 0
            gap = people and relative and "it" not in rest
            verb = (
                passive
                or people
                or (segment[:1] != [] and segment[0] in _DOING and "be" not in segment)
            )
            known = self._saying(rest, gap, not verb)
            if known[0] is None and passive:
                known = self._saying([rest[0], *rest[2:]], gap, False)
            found, count = known
            if found is None:
                return None, 0
            if negated and number == 0:
                opposite = True
            elif negated:
                found = (self.all & ~found[1], self.all & ~found[0])
            result = (result[0] & found[0], result[1] & found[1])
            properties += count
        if not properties:
            return None, 0
        if opposite:
            result = (self.all & ~result[1], self.all & ~result[0])
        return result, properties

    def _segments(self, words: list[str]) -> list[tuple[list[str], bool]]:
        """Return the clause and its relative clauses, each with whether it is one."""
        found: list[tuple[list[str], bool]] = []
        start, relative, at = 0, False, 1
        while at < len(words):
            word, before = words[at], words[at - 1]
            cut = drop = 0
            if word in ("that", "which", "who", "where") and at > start + 1:
                if before not in _AUXILIARIES and before not in _PLACED and before != "than":
                    cut, drop = 1, 1
            elif before in _HEADS and at > start + (0 if relative else 1):
                _, person, taken = self._subject(words, at)
                if (person and taken and at + taken < len(words)) or word in _AGENTS:
                    cut = 1
                elif word == "to" and before in _GENERIC and at + 1 < len(words):
                    words = [*words[:at], "you", *words[at + 1 :]]
                    cut = 1
                elif self._participle(word) and before not in ("one", "common"):
                    words = [*words[:at], "is", *words[at:]]
                    cut = 1
            if cut:
                found.append((words[start:at], relative))
                start, relative = at + drop, True
            at += 1
        found.append((words[start:], relative))
        return found

    @staticmethod
    def _participle(word: str) -> bool:
        return word in _PARTICIPLES or (word.endswith("ed") and len(word) > 4)

    @staticmethod
    def _subject(words: list[str], at: int) -> tuple[bool, bool, int]:
        """Return whether a subject means the thing, whether people, and how many words it has."""
        word = words[at] if at < len(words) else ""
        following = words[at + 1] if at + 1 < len(words) else ""
        if word in _THESE and following in _CALLED:
            length = 2
            while at + length < len(words) and words[at + length] in _CALLED:
                length += 1
            return True, False, length
        if word in _IT:
            return True, False, 1
        length = 0
        while at + length < len(words) and words[at + length] in _BEFORE_PERSONS:
            length += 1
        if at + length < len(words):
            noun = words[at + length]
            if noun in _PERSONS or (not length and noun in _PEOPLE):
                length += 1
                if noun == "human" and words[at + length : at + length + 1] in (
                    ["being"],
                    ["beings"],
                ):
                    length += 1
                return False, True, length
        if word == "one" and following in _AUXILIARIES:
            return False, True, 1
        return False, False, 0

    def _frame(self, words: list[str], relative: bool) -> tuple[bool, bool, bool, list[str]]:
        """Return whether a clause is negated, is about people, is passive; and what it says."""
        negated = people = there = False
        auxiliary, at = "", 0
        if words and words[0] in _AUXILIARIES and not (words[0] == "have" and not relative):
            auxiliary, at = words[0], 1
            if words[1:2] == ["not"]:
                at = 2
                negated = relative
        while at < len(words) and words[at] in _ADVERBS:
            at += 1
        thing, people, taken = self._subject(words, at)
        if taken and not (thing and relative and not auxiliary):
            at += taken
        elif words[at : at + 1] == ["there"]:
            there, at = True, at + 1
        while at < len(words):
            word, following = words[at], words[at + 1] if at + 1 < len(words) else ""
            if word in _ADVERBS:
                at += 1
            elif word in ("not", "never"):
                negated, at = not negated, at + 1
            elif word in _WAITING and following == "to":
                at += 2
            elif word in _AUXILIARIES and (
                word not in ("has", "have", "had") or following in ("been", "not")
            ):
                auxiliary, at = word, at + 1
            elif word == "get" and self._participle(following):
                auxiliary, at = "be", at + 1
            else:
                break
        rest = words[at:]
        if there and rest[-1:] == ["it"] and rest[-2:-1] and rest[-2] in _PLACED:
            rest = rest[:-2]
        passive = auxiliary in _BE and not people and bool(rest) and self._participle(rest[0])
        if passive:
            if rest[-2:] == ["by", "people"]:
                rest = rest[:-2]
            rest = [rest[0], "it", *rest[1:]] if rest[1:2] != ["it"] else rest
        elif rest[-2:] == ["by", "people"]:
            rest = rest[:-2]
        return negated, people, passive, rest

    def _saying(self, words: list[str], gap: bool, naming: bool) -> _Found:
        """Return the things with all properties that words name, and how many; None if any is new.

        Args:
            words: of a clause after its frame.
            gap: whether `it` is left out after a verb, as in `something you eat`.
            naming: whether they may name things.
        """
        words = [word for word in words if word not in _DETERMINERS or word in ("a", "an")]
        words = ["it" if word in _PRONOUNS else word for word in words]
        # Articles tell a name (`an orange`) from a property (`orange`).
        article = bool(words) and words[0] in ("a", "an")
        words = [word for word in words if word not in ("a", "an")]
        stems = [stem(word) for word in words]
        sure = maybe = self.all
        some = 0
        negated, properties, at = False, 0, 0
        fresh = naming
        end = len(words)
        while at < end:
            word = words[at]
            found: Truth | None = None
            taken = 1
            skipped: int | None = None
            if fresh and (article or tuple(stems[at:]) not in self.phrases):
                named = self.names.get(" ".join(words[at:]))
                if named is not None:
                    found, taken = (named, named), end - at
            if found is None:
                found, taken = self._longest(stems, at, gap)
                skipped = self._carried(words, stems, at)
                if skipped is not None and at + skipped < end:
                    beyond, length = self._longest(stems, at + skipped, gap)
                    if beyond is not None and skipped + length > taken:
                        found, taken = beyond, skipped + length
            if found is None:
                measured = self._measured(words, stems, at)
                if measured is not None:
                    found, taken = measured
            if found is not None:
                if negated:
                    found = (self.all & ~found[1], self.all & ~found[0])
                sure, maybe, some = sure & found[0], maybe & found[1], some | found[1]
                negated, properties, fresh = False, properties + 1, False
            elif word in _NOT:
                negated = not negated
            elif word in self.fillers or word == "it":
                fresh = fresh and word in _ADVERBS
            elif word == "by" and words[at + 1 : at + 2] == ["people"]:
                taken = 2
            elif word == "for" and at + 1 < end and not properties:
                pass
            elif skipped is not None:
                taken = skipped
            else:
                return None, 0
            at += taken
        # What holds of a verb and its object (`hold it with your fingers`) may not hold of each.
        return (sure, maybe if naming or properties < 2 else some), properties

    def _longest(self, stems: list[str], at: int, gap: bool) -> tuple[Truth | None, int]:
        """Return the truth of the longest phrase at a place, and its length; `it` may be absent."""
        most = min(self.longest.get(stems[at], 0) + 1, len(stems) - at)
        for length in range(most, 0, -1):
            key = tuple(stems[at : at + length])
            found = self.phrases.get(key)
            if gap and (found is None or key in self.gapped):
                found = self.gapped.get(key, found)
            if found is None and length > 1 and "it" in key:
                found = self.phrases.get(tuple(word for word in key if word != "it"))
            if found is not None:
                return found, length
        return None, 1

    @staticmethod
    def _carried(words: list[str], stems: list[str], at: int) -> int | None:
        """Return the length of a verb that adds nothing to what follows; None if it is none."""
        if stems[at] not in _CARRIERS or at + 1 >= len(words):
            return None
        after = at + (2 if words[at + 1] == "it" else 1)
        if after < len(words) and (words[after] in _PLACING or stems[at] in ("consider", "call")):
            skipped = ("as", "be", "to") if stems[at] != "use" else ("as", "for", "be")
            while after < len(words) and words[after] in skipped:
                after += 1
            return after - at
        return None

    # -- comparisons ------------------------------------------------------------------------------

    def _measured(self, words: list[str], stems: list[str], at: int) -> tuple[Truth, int] | None:
        """Return the truth of a comparison at a place, and its length in words."""
        word, start = words[at], at
        sign = 0
        if word in ("weigh", "weighs", "cost", "costs"):
            measure = "weight" if word.startswith("weigh") else "price"
            at += 1
            word = words[at] if at < len(words) else ""
            sign = {"more": 1, "over": 1, "less": -1, "under": -1, "as": 2, "at": 3}.get(word, 0)
            if not sign:
                return None
        elif word in _MEASURES:
            sign, measure = _MEASURES[word]
        elif word in ("more", "less") and words[at + 1 : at + 2] == ["expensive"]:
            sign, measure, at = (1 if word == "more" else -1), "price", at + 1
        elif word in ("more", "less", "over", "under"):
            sign, measure = (1 if word in ("more", "over") else -1), ""
        elif word == "as" and words[at + 1 : at + 2] and words[at + 1] in _MEASURED:
            sign, measure, at = 2, _MEASURED[words[at + 1]], at + 1
            if words[at + 1 : at + 2] != ["as"]:
                return None
        elif stems[at] == "siz":
            sign, measure = 4, "bulk"
        elif word in ("go", "goes", "move", "moves", "run", "travel") and words[
            at + 1 : at + 2
        ] == ["faster"]:
            sign, measure, at = 1, "speed", at + 1
        else:
            return None
        at += 1
        if at < len(words) and words[at] in ("than", "as", "least"):
            at += 1
        elif measure and sign in (1, -1) and words[at - 1] not in ("over", "under"):
            return None
        limit = self._limit(words, stems, at, measure)
        if limit is None:
            return None
        measure, value, length = limit
        own = self.own.get(" ".join(words[at : at + length]))
        return self._against(measure, value, sign, own), at + length - start

    def _limit(
        self, words: list[str], stems: list[str], at: int, measure: str
    ) -> tuple[str, float, int] | None:
        """Return the measure, the value and the words of what is compared with."""
        for length in (4, 3, 2, 1):
            value = self.references.get(measure, {}).get(" ".join(words[at : at + length]))
            if value is not None and at + length <= len(words):
                return measure, value, length
        usd = int(words[at : at + 1] == ["usd"])
        at += usd
        number, length = 1.0, 0
        if at < len(words):
            try:
                number, length = float(words[at]), 1
            except ValueError:
                if words[at] in _NUMBERS:
                    number, length = _NUMBERS[words[at]], 1
        while at + length < len(words) and words[at + length] in ("hundred", "thousand", "million"):
            number *= {"hundred": 100, "thousand": 1000, "million": 1e6}[words[at + length]]
            length += 1
        if usd and length:
            return "price", number, length + 1
        if at + length < len(words) and stems[at + length] in _UNITS:
            factor, unit = _UNITS[stems[at + length]]
            if measure and {unit, measure} - {"length", "bulk", "thin"} and unit != measure:
                return None
            length += 1
            if words[at + length : at + length + 1] and words[at + length] in (
                "long", "tall", "high", "wide", "big",
            ):  # fmt: skip
                length += 1
            return unit, number * factor, length
        return None

    def _against(self, measure: str, limit: float, sign: int, own: int | None) -> Truth:
        """Return the truth of being more (1), less (-1), at least (2, 3) or about (4) a limit."""
        sure = maybe = 0
        kinds = ("length", "bulk") if measure == "bulk" else (measure,)
        for number in range(len(self.sizes)):
            bit = 1 << number
            ratios = []
            for kind in kinds:
                value = self.measures.get(kind, ())[number] if kind in self.measures else None
                ratios.append(None if value is None else value / (limit or 1e-9))
            known = [ratio for ratio in ratios if ratio is not None]
            if number == own and sign in (1, -1):
                continue
            if len(known) < len(ratios):
                maybe |= bit
                continue
            if sign == 4:
                low, high = min(known) > 0.6, max(known) < 1.6
                outside = max(known) < 0.5 or min(known) > 2
                sure |= bit if low and high else 0
                maybe |= 0 if outside else bit
                continue
            edge = 1.12 if sign in (1, -1) else 0.9
            under = 0.9 if sign in (1, -1) else 0.8
            if sign == -1:
                known = [1 / max(ratio, 1e-9) for ratio in known]
            sure |= bit if min(known) > edge else 0
            maybe |= bit if max(known) > under else 0
        return sure, maybe

    # -- names ------------------------------------------------------------------------------------

    def claimed(self, words: Sequence[str], names: Mapping[str, int]) -> int | None:
        """Return the things that `Is it a ...?` names, as word forms of `names`; None for none."""
        end = len(words)
        while end > 1 and words[end - 1] in _AFTERTHOUGHTS and words[end - 1] not in names:
            end -= 1
        if not end or words[end - 1] not in self.endings:
            return None
        for length in range(min(4, end), 0, -1):
            name = " ".join(words[end - length : end])
            if name not in names:
                continue
            before = words[: end - length]
            if not self.preamble.issuperset(before) or ("have" in before) != ("mind" in before):
                return None
            if before and before[-1] in _BEFORE_VERBS:
                return None
            # "Is it orange?" asks for the colour, "Is it an orange?" for the fruit.
            ambiguous = (stem(name),) in self.phrases and before
            return None if ambiguous and before[-1] in ("it", "be", "is") else names[name]
        return None

    def wins(self, number: int, question: str) -> bool:
        """Return whether a question claims to know that `number` is the hidden thing."""
        words = _WORD.findall(question.lower())
        return bool((self.claimed(words, self.winning) or 0) >> number & 1)
