"""The key phrases of a text: what it is about, as nouns that can be set into a sentence.

The method is RAKE's (Rose et al., Automatic Keyword Extraction from Individual Documents, 2010):
runs of words between stop words and punctuation, weighed by how often their words occur and in what
company. Runs are cut at words that are verbs to judge by their form. Pure, and bounded: only the
head of a long text is read.
"""

from __future__ import annotations

import re
from collections import Counter

import msgspec

from engine.providers.simulation.words import ADJECTIVES, STOPWORDS, VERBS, stem

MAX_CHARS = 8_000
"""What is read of a text: some three milliseconds' work."""
MAX_PHRASE_WORDS = 3
MAX_WORD_CHARS = 40

DETERMINERS = frozenset(
    [
        "the",
        "a",
        "an",
        "this",
        "that",
        "these",
        "those",
        "its",
        "their",
        "his",
        "her",
        "my",
        "our",
        "your",
    ]
)
_ADJECTIVAL = ("ous", "ful", "able", "ible", "less", "ly")
_TOKEN = re.compile(r"[^\W_][\w'’+#-]*|[.,;:!?()\[\]{}\"“”«»\n|/=<>*`~—–]+")


class _Run(msgspec.Struct):
    words: list[str]
    is_definite: bool
    """A determiner stands before it, so that it wants an article in a sentence."""
    is_first: bool
    """It begins a sentence, so that its capital says nothing."""


def key_phrases(text: str, limit: int = 12, *, articles: bool = False) -> list[str]:
    """Give the phrases that a text is about, the weightiest first, as the text writes them.

    Args:
        text: of any length; its first `MAX_CHARS` characters are read.
        limit: how many phrases at most.
        articles: whether a phrase that the text gives a determiner gets "the".
    """
    runs: list[_Run] = []
    open_run: _Run | None = None
    before = "."
    for token in _TOKEN.findall(text[:MAX_CHARS]):
        word = token.strip("'’-")
        is_word = bool(word) and word[0].isalnum() and word.lower() not in STOPWORDS
        if open_run and is_word and (word.isdecimal() or not _is_verb(word)):
            open_run.words.append(word)
        elif open_run is None and is_word and not word.isdecimal():
            is_first = before[0] in ".!?\n:*" or before.lower() in ("a", "an")
            open_run = _Run([word], before.lower() in DETERMINERS, is_first)
            runs.append(open_run)
        else:
            open_run = None
        before = token
    return _weigh([run for run in map(_noun, runs) if run.words], limit, articles)


def _is_verb(word: str) -> bool:
    """Say whether a word inside of a run ends it: "heart failure causes", "industry changed"."""
    return word in VERBS or (word.islower() and word.endswith("ed") and len(word) > 4)


def _noun(run: _Run) -> _Run:
    """Cut what is no part of a noun phrase: verbs at the head, adjectives at the end."""
    words = [word for word in run.words if len(word) <= MAX_WORD_CHARS]
    while len(words) > 1 and (
        words[-1].endswith(_ADJECTIVAL)
        or words[-1].lower() in ADJECTIVES
        or (words[-1].isdecimal() and words[-2][0].islower())
    ):
        words.pop()
    while words and (words[0].lower() in VERBS or (len(words) > 1 and words[0].endswith("ly"))):
        words.pop(0)
    if len(words) == 1 and (words[0].lower() in ADJECTIVES or _is_verb(words[0])):
        words = []
    if run.is_first and len(words) > 1 and words[0][1:].islower() and words[1].islower():
        words[0] = words[0].lower()
    run.words = words
    return run


def _weigh(runs: list[_Run], limit: int, articles: bool) -> list[str]:
    frequency: Counter[str] = Counter()
    degree: Counter[str] = Counter()
    phrases: Counter[str] = Counter()
    shown: dict[str, str] = {}
    for run in runs:
        for start in range(0, len(run.words), MAX_PHRASE_WORDS):
            words = run.words[start : start + MAX_PHRASE_WORDS]
            for word in words:
                frequency[stem(word.lower())] += 1
                degree[stem(word.lower())] += len(words)
            phrase = " ".join(words)
            phrases[phrase.lower()] += 1
            has_article = articles and run.is_definite and not start
            shown.setdefault(phrase.lower(), f"the {phrase}" if has_article else phrase)
    order = {phrase: place for place, phrase in enumerate(phrases)}

    def weight(phrase: str) -> float:
        stems = [stem(word) for word in phrase.split()]
        score = sum(degree[s] / frequency[s] + frequency[s] for s in stems)
        # A word of one or two letters is hardly ever what a text is about.
        return score * phrases[phrase] if len(phrase) > 2 else 0.1

    chosen: list[str] = []
    for phrase in sorted(phrases, key=lambda phrase: (-weight(phrase), order[phrase])):
        if len(chosen) == limit:
            break
        if not any(phrase in other or other in phrase for other in chosen):
            chosen.append(phrase)
    return [shown[phrase] for phrase in chosen]
