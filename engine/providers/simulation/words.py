"""Words: which of them carry meaning, and how they are set into a sentence.

Lists of the commonest English words, and small functions of grammar. Pure.
"""

from __future__ import annotations

import re
from functools import lru_cache

MAX_CHARS = 20_000
"""What is read of a text."""

_STOPWORDS = """
a able about above across actually after again against ago all allow allows almost alone along
already also although always am among an and another any anybody anyone anything are aren't around
as ask at away back based be became because become becomes been before began begin begins behind
being below best better between beyond bit both bring brought but by call called came can can't
cannot cause caused causes clearly come comes could couldn't create creates day days describe
describes did didn't different discover discovers discuss do does doesn't doing don't done down
due during each either else enough ensure enter enters etc even evening ever every everyone
everything exactly explain few find finds first following for found from further gave get gets
getting give given gives go goes going gone good got had happen happens has hasn't have haven't
having he he's hear hears hello help helped helps her here hers herself hey hi him himself his how
however i i'd i'll i'm i've if important in include includes including increase increases instead
into is isn't it it's its itself just keep keeps kept kind know known knows last least leave
leaves less let let's like likely look looks lot lots made main make makes making many may maybe
me mean means mention might mine month months more morning most mostly move moves much must my
myself near need needed needs neither never new next no nobody none nor not nothing now occur
occurs of off often ok okay on once one ones only onto open opens or other others our ours out
over own per perhaps please possible produce produces provide provides put quite rather really
remain remains require required requires result results said same saw say says see seem seems seen
several shall she should shouldn't show shown shows simply since small so some somebody someone
something soon starts still stop stops such summarise summarize sure take taken takes tell tells
than thank thanks that that's the their theirs them themselves then there there's these they
they're thing things think this those though three through throughout thus to today together told
tomorrow tonight too took toward towards tried try trying turn turns two under understand until up
upon us use used uses using usually various very via walk walks want wanted wants was wasn't way
ways we we'd we'll we're we've week weeks well went were weren't what what's when where whether
which while who whole whom whose why will with within without won't would wouldn't write writes
written year years yes yesterday yet you you'd you'll you're you've your yours yourself
"""
STOPWORDS = frozenset(_STOPWORDS.split())
"""Words that join others and say little themselves; the commonest verbs are among them."""

_VERB_WORDS = """
adapt add adopt adjust agree analyse analyze apply argue arrange attend avoid balance beat become
believe bring build buy calculate carry celebrate change check choose collect combine compare
complete compute consider convert convince cook cut decide define deliver deploy design detect
develop disappear draw earn eat encourage establish examine expand expect explore express extend
fail feel fight fix fly follow force forget form gain generate grow guide handle hide hire hold
identify imagine implement improve inform install introduce invent invest invite join judge kill
learn listen lose love maintain manage measure meet mention migrate notice obtain offer optimise
optimize organise organize parse pay perform pick plan play pray predict prefer prepare prevent
prove pull push raise reach read receive recommend reduce refactor reflect remember remove repair
replace respond restore return reveal save scale select sell send separate serve settle share sing
sit solve speak spend stand stay store study succeed suffer suggest survive teach test throw train
translate travel treat trust validate visit vote wait wake wear win accepts adapts affects appears
avoids believes breaks builds carries changes chooses closes combines contains contradicts
controls creates decides defines delivers depends destroys detects develops disappears drives eats
explains exposes fails falls feels fights flies follows grows handles hides holds identifies
implies improves influences involves invites joins learns loses loves maintains manages meets
notices offers parses pays prevents promotes protects pulls pushes reaches reads receives reduces
reflects releases remembers removes replaces represents returns reveals sees sells sends serves
shares sings sits speaks stands stays stimulates stores suffers suggests survives teaches tests
throws translates travels treats triggers trusts turns visits waits wakes wears wins
worsen worsens show shows differ differs
"""
VERBS = frozenset(_VERB_WORDS.split())
"""At the head of a phrase these are verbs; inside of one they may be nouns."""
_ADJECTIVE_WORDS = """
bad big black blue brown cheap clear cold cool dark dead deep easy expensive fair fast free fun
good great green hard heavy high hot late long loud low new old open poor purple quick quiet
ready red rich right round safe sad salty short slow small soft strong tall true warm weak wet
white wide wrong yellow young
"""
ADJECTIVES = frozenset(_ADJECTIVE_WORDS.split())
_SUFFIXES = ("ingly", "edly", "ings", "ing", "ies", "ied", "ely", "ed", "es", "ly", "s")


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """Cut the commonest English endings, so that forms of one word count as one."""
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 4:
            return word[: -len(suffix)]
    return word


def sentences(text: str) -> list[str]:
    """Cut the head of a text into its sentences and lines, without their list marks."""
    found = []
    for line in text[:MAX_CHARS].splitlines():
        line = re.sub(r"^\s*(?:[-*•#>]+|\d+[.)])\s*", "", line).strip()
        for sentence in re.split(r"(?<=[.!?])\s+(?=[\"'“(]?[^\W\d_a-z])", line):
            if sentence.strip():
                found.append(sentence.strip())
    return found


def is_plural(phrase: str) -> bool:
    """Say whether a noun phrase takes a plural verb, as far as its head shows."""
    if re.match(r"(?:how|whether|why|what|the question)\b", phrase):
        return False
    head = re.split(r" (?:of|for|in|on|with|from|to|that|who|which|about|between)\b", phrase)[0]
    last = head.split()[-1] if head.split() else ""
    return " and " in head or bool(re.search(r"(?<![suio])s$", last.lower()) and len(last) > 3)


def lower_first(text: str) -> str:
    """Begin in lower case, where the first word is no name or abbreviation."""
    first = text.split(" ", 1)[0]
    if len(first) > 1 and first[1:].islower() and first.lower() in _STARTERS:
        return text[0].lower() + text[1:]
    return text[0].lower() + text[1:] if first in ("A", "I'd") else text


_STARTER_WORDS = """
a add all an and any as at avoid build but by can compare create describe design develop draft
each every explain for from generate give he help her his if in include it its keep list make
must my of on our plan prepare produce provide she should show so some summarise summarize that
the their there these they this those to use we when while with write you your
"""
_STARTERS = frozenset(_STARTER_WORDS.split())


def upper_first(text: str) -> str:
    """Begin with a capital."""
    return text[:1].upper() + text[1:]


def join_words(words: list[str], last: str = "and") -> str:
    """Set words into a sentence: "a", "a and b", "a, b and c"."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"
