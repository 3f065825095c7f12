"""Markdown as safe HTML: formulas set in MathML, headings with anchors for the table of contents."""

import re
import unicodedata
from dataclasses import dataclass
from html import escape, unescape
from typing import Any

import mistune

from crmlab.report.clean import clean
from crmlab.report.formula import FormulaError, mathml

_BLOCK = r"^ {0,3}\$\$(?P<block_body>[\s\S]+?)\$\$[ \t]*$"
_INLINE = r"\$(?![\s$])(?P<inline_body>(?:\\[\s\S]|[^$\\])+?)(?<!\s)\$(?!\d)"
_OPEN, _SHUT = "\ue000", "\ue001"
_MARKER = re.compile(f"{_OPEN}(\\d+){_SHUT}")
_TAG = re.compile(r"""<(?:[^<>"']|"[^"]*"|'[^']*')*>""")
_HEADING = re.compile(r"<h([2-6])>(.*?)</h\1>", re.DOTALL)
_OF_OUTPUT = re.compile(r"<h([23])>(.*?)</h\1>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of the page: its level, its anchor, and its words as HTML without links or emphasis."""

    level: int
    anchor: str
    text: str


@dataclass(frozen=True, slots=True)
class Prose:
    """A piece of prose as HTML, and the headings in it."""

    html: str
    headings: tuple[Heading, ...]


def prose(markdown: str, taken: frozenset[str] = frozenset()) -> Prose:
    """`markdown` as safe HTML.

    A dollar sign opens a formula where no space follows it and closes one where no space precedes and no digit follows
    it, so that ``$5 and $10`` are amounts. A formula that `mathml` does not know stays as its source.

    Parameters
    ----------
    markdown
        The source of one cell, without level 1 headings to keep: ``h1`` becomes ``h2``.
    taken
        Anchors that are in use on the page.
    """
    formulas: list[tuple[str, bool]] = []
    raw = _converter(formulas)(markdown.replace(_OPEN, "").replace(_SHUT, ""))
    html = clean(str(raw))
    headings: list[Heading] = []

    def anchored(found: re.Match[str]) -> str:
        level, inner = int(found[1]), found[2]
        words = _TAG.sub("", inner).strip()
        used = taken | {h.anchor for h in headings}
        anchor = free_anchor(_MARKER.sub("", unescape(words)), used)
        headings.append(Heading(level, anchor, _set(words, formulas, in_text=True)))
        return f'<h{level} id="{anchor}">{inner}</h{level}>'

    html = _HEADING.sub(anchored, html)
    parts = re.split(f"({_TAG.pattern})", html)
    html = "".join(_set(part, formulas, in_text=position % 2 == 0) for position, part in enumerate(parts))
    return Prose(html, tuple(headings))


def anchored(html: str, taken: frozenset[str]) -> tuple[str, list[Heading]]:
    """Cleaned HTML of an output with anchors on its headings of level 2 and 3, and those headings.

    Parameters
    ----------
    html
        Safe HTML.
    taken
        Anchors that are in use on the page.
    """
    found: list[Heading] = []

    def with_anchor(heading: re.Match[str]) -> str:
        level, inner = int(heading[1]), heading[2]
        words = _TAG.sub("", inner).strip()
        anchor = free_anchor(unescape(words), taken | {h.anchor for h in found})
        found.append(Heading(level, anchor, words))
        return f'<h{level} id="{anchor}">{inner}</h{level}>'

    return _OF_OUTPUT.sub(with_anchor, html), found


def free_anchor(words: str, taken: frozenset[str] | set[str]) -> str:
    """An anchor made of `words` that is not in `taken`."""
    plain = unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60] or "section"
    anchor, count = base, 1
    while anchor in taken:
        count += 1
        anchor = f"{base}-{count}"
    return anchor


def _converter(formulas: list[tuple[str, bool]]) -> mistune.Markdown:
    """A Markdown converter that leaves numbered markers where formulas stand."""

    def marker(tex: str, display: bool) -> str:
        formulas.append((tex, display))
        return f"{_OPEN}{len(formulas) - 1}{_SHUT}"

    def block(_: Any, found: re.Match[str], state: Any) -> int:
        state.append_token({"type": "block_tex", "raw": found["block_body"].strip()})
        return found.end() + 1

    def inline(_: Any, found: re.Match[str], state: Any) -> int:
        state.append_token({"type": "inline_tex", "raw": found["inline_body"].strip()})
        return found.end()

    def maths(converter: mistune.Markdown) -> None:
        converter.block.register("block_tex", _BLOCK, block, before="list")
        converter.inline.register("inline_tex", _INLINE, inline, before="link")
        renderer: Any = converter.renderer
        renderer.register("block_tex", lambda _, tex: f'<div class="formula">{marker(tex, True)}</div>\n')
        renderer.register("inline_tex", lambda _, tex: marker(tex, False))

    plugins = ["strikethrough", "table", "url", "def_list", maths]
    return mistune.create_markdown(escape=False, plugins=plugins)


def _set(text: str, formulas: list[tuple[str, bool]], *, in_text: bool) -> str:
    """Put formulas where their markers stand: MathML between tags, the TeX itself inside a tag."""

    def formula(found: re.Match[str]) -> str:
        tex, display = formulas[int(found[1])]
        if not in_text:
            return escape(tex)
        try:
            return mathml(tex, display=display)
        except FormulaError:
            return f'<code class="tex">{escape(tex)}</code>'

    return _MARKER.sub(formula, text)
