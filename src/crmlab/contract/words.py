"""Every visible string, in English where it is used and in other languages from one catalogue.

The English text is the key. Code says ``say("{n} customers", n=3)``; notebooks hold plain English prose; the
catalogue (`crmlab/contract/it.po`) holds the other language. A text that is missing from the catalogue is shown in
English, or raises where `CRMLAB_STRICT_WORDS` is set, as it is in the tests.
"""

import os
import string
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

_language: ContextVar[str] = ContextVar("language", default="en")


def use(language: str) -> None:
    """Say everything from now on in `language` (``en`` or ``it``)."""
    _language.set(language)


def language() -> str:
    """The language in which things are said now."""
    return _language.get()


@cache
def catalogue(language: str) -> dict[str, str]:
    """English text → text in `language`; empty for English itself."""
    if language == "en":
        return {}
    from babel.messages.pofile import read_po

    with (Path(__file__).parent / f"{language}.po").open("rb") as file:
        return {str(m.id): str(m.string) for m in read_po(file) if m.id and m.string and not m.fuzzy}


class _Formatter(string.Formatter):
    """`str.format` whose numbers take the decimal mark of the language."""

    def format_field(self, value: Any, spec: str) -> str:
        if isinstance(value, Sentence):
            return str(value)
        if value is None:
            return "–"
        return localise(format(value, spec)) if _is_number(value) else format(str(value), spec)


def _is_number(value: Any) -> bool:
    return hasattr(value, "__float__") and not isinstance(value, str)


def localise(number: str) -> str:
    """An English-formatted number in the language's marks: ``1,234.5`` → ``1.234,5`` in Italian."""
    if language() == "it":
        return number.translate(str.maketrans(",.", ".,"))
    return number


def say(text: str, **values: Any) -> str:
    """`text` in the language in use, its ``{fields}`` filled from `values`."""
    translated = text
    if language() != "en" and text:
        translated = catalogue(language()).get(text, "")
        if not translated:
            if os.environ.get("CRMLAB_STRICT_WORDS"):
                raise KeyError(f"not in {language()}.po: {text!r}")
            translated = text
    return _Formatter().format(translated, **values) if values else translated


def mark(text: str) -> str:
    """`text` itself: marks a word kept in a table as one that will be shown, so that it is in the catalogue."""
    return text


@dataclass(frozen=True)
class Sentence:
    """A sentence computed from numbers, said in the reader's language when it is shown.

    `tone` is ``plain``, ``good``, ``warn`` or ``bad``: how the page sets it.
    """

    text: str
    values: dict[str, Any] = field(default_factory=dict)
    tone: str = "plain"

    def __str__(self) -> str:
        return say(self.text, **self.values)

    def _repr_html_(self) -> str:
        return f'<p class="says {escape(self.tone)}">{escape(str(self))}</p>'
