"""The part of Lucene's query language that searches of MusicBrainz use."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

Document = Mapping[str, Sequence[str]]
"""The values of each field, in lower case; "" holds those that words without a field search."""
Test = Callable[[Document], int]
"""How many clauses a document meets; 0: it is not found."""

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<range>\[\s*(?P<low>\S+)\s+TO\s+(?P<high>[^\s\]]+)\s*\])
    | (?P<mark>[()+\-!])
    | (?P<both>AND\b|&&) | (?P<either>OR\b|\|\|) | (?P<no>NOT\b)
    | (?P<field>[a-z]+):
    | "(?P<phrase>(?:[^"\\]|\\.)*)"
    | (?P<word>(?:[^\s()"\[\]:\\]|\\.)+)
    )""",
    re.VERBOSE,
)


class SyntaxFault(ValueError):
    """Not a query."""


def parse(query: str) -> Test:
    """`tag:jazz AND (primarytype:album OR primarytype:ep) AND firstreleasedate:[1960 TO 1969]`."""
    tokens = []
    place = 0
    query = query.strip()
    while place < len(query):
        match = _TOKEN.match(query, place)
        if match is None:
            raise SyntaxFault(f"at {place}: {query[place:]}")
        tokens.append(match)
        place = match.end()
    parser = _Parser(tokens)
    test = parser.either("")
    if parser.rest:
        raise SyntaxFault(query)
    return test


class _Parser:
    def __init__(self, tokens: list[re.Match[str]]) -> None:
        self.rest = tokens

    def _next(self, *groups: str) -> str | None:
        if self.rest:
            token = self.rest[0]
            for group in groups:
                if token[group] is not None:
                    self.rest = self.rest[1:]
                    return token[group]
        return None

    def _at_end(self) -> bool:
        return not self.rest or self.rest[0]["mark"] == ")"

    def either(self, field: str) -> Test:
        """Clauses side by side, or with OR: any of them; one with `+` in front: that one."""
        any_of: list[Test] = []
        needed: list[Test] = []
        denied: list[Test] = []
        while not self._at_end():
            mark = self.rest[0]["mark"]
            if mark in ("+", "-", "!"):
                self._next("mark")
            no = self._next("no") is not None or mark in ("-", "!")
            test = self._both(field)
            (denied if no else needed if mark == "+" else any_of).append(test)
            self._next("either")
        if not (any_of or needed):
            raise SyntaxFault("an empty query")

        def found(document: Document) -> int:
            if any(test(document) for test in denied):
                return 0
            if not all(test(document) for test in needed):
                return 0
            return sum(test(document) for test in (*needed, *any_of))

        return found

    def _both(self, field: str) -> Test:
        tests = [(self._clause(field), True)]
        while self._next("both") is not None:
            no = self._next("no") is not None
            if self.rest and self.rest[0]["mark"] in ("-", "!"):
                self._next("mark")
                no = True
            tests.append((self._clause(field), not no))
        if len(tests) == 1:
            return tests[0][0]

        def found(document: Document) -> int:
            results = [(test(document), wanted) for test, wanted in tests]
            met = all(bool(result) == wanted for result, wanted in results)
            return sum(result for result, _ in results) if met else 0

        return found

    def _clause(self, field: str) -> Test:
        field = self._next("field") or field
        if self.rest and self.rest[0]["mark"] == "(":
            self._next("mark")
            test = self.either(field)
            if self._next("mark") != ")":
                raise SyntaxFault("a bracket is open")
            return test
        if self.rest and self.rest[0]["range"]:
            low, high = self.rest[0]["low"], self.rest[0]["high"]
            self._next("range")
            return _between(field, low, high)
        value = self._next("phrase", "word")
        if value is None:
            raise SyntaxFault("a clause is missing")
        return _holds(field, re.sub(r"\\(.)", r"\1", value).lower())


def _holds(field: str, value: str) -> Test:
    """The value as whole words, with `*` at its end as the start of one."""
    pattern = re.escape(value).replace(r"\*", r"\w*")
    words = re.compile(rf"(?<!\w){pattern}(?!\w)")
    return lambda document: int(any(words.search(text) for text in document.get(field, ())))


def _between(field: str, low: str, high: str) -> Test:
    def found(document: Document) -> int:
        for text in document.get(field, ()):
            if low != "*" and text < low:
                continue
            if high == "*" or text[: len(high)] <= high:
                return 1
        return 0

    return found
