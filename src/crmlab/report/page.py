"""An executed notebook as one page: complete in itself, quiet to read, safe to open."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from html import escape
from typing import Any

from nbformat import NotebookNode
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from crmlab.contract import localise, mark, say
from crmlab.report.outputs import BUDGET, log_text, output_html
from crmlab.report.prose import Heading, anchored, prose
from crmlab.report.template import render, speaking

_TRAIL = (mark("study"), mark("cycle"))
_OPENING = re.compile(r"\A\s*#[ \t]+(.+?)[ \t]*#*[ \t]*(?:\n|\Z)")


@dataclass(frozen=True, slots=True)
class Block:
    """One cell as the page shows it: prose, or outputs above their folded code and messages."""

    prose: str = ""
    outputs: list[str] = field(default_factory=list)
    code: str = ""
    log: str = ""


def page(
    notebook: NotebookNode, *, title: str, header: Mapping[str, Any], lang: str, index: str = "", notice: str = ""
) -> str:
    """The page of an executed notebook.

    Parameters
    ----------
    notebook
        With outputs. Its Markdown cells are English and are replaced by the catalogue's where `lang` is another.
    title
        The page's one ``h1``, in `lang` already. The notebook's opening ``# heading`` stands under it, unless it says
        the same.
    header
        What the band at the top states, label → text in `lang` already, in this order. The study and the cycle lead to
        the title; everything else is listed, nothing is left out.
    lang
        ``en`` or ``it``.
    index
        Address of the study's index from this page, where there is one.
    notice
        A sentence, in `lang` already, that stands out under the band: what the reader must know before anything else.

    Returns
    -------
    str
        HTML that asks nothing of any host and runs no script, under 5 MB.
    """
    with speaking(lang):
        asks, cells = _opening(title, notebook.cells)
        blocks, headings = _blocks(cells)
        leads = [label for name in _TRAIL for label in dict.fromkeys((name, say(name))) if header.get(label)]
        trail = [fact_text(header[label]) for label in leads]
        return render(
            "page.html",
            title=title,
            asks=asks,
            trail=[part for part in trail if part not in title],
            index=index,
            facts=[(label, fact_text(value)) for label, value in header.items() if label not in leads],
            notice=notice,
            headings=headings,
            blocks=blocks,
        )


def fact_text(value: Any) -> str:
    """A number with the language's marks, a day as ISO writes it, anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value.isoformat() if isinstance(value, date) else str(value)
    return localise(f"{value:,}")


def _opening(title: str, cells: list[NotebookNode]) -> tuple[str, list[tuple[NotebookNode, str]]]:
    """The line under the title, and each cell with its source in the language in use, that line taken out."""
    sources = [say(c.source.strip()) if c.cell_type == "markdown" else c.source for c in cells]
    asks = ""
    first = next((i for i, c in enumerate(cells) if c.cell_type == "markdown"), None)
    if first is not None and (found := _OPENING.match(sources[first])):
        sources[first] = sources[first][found.end() :]
        if found[1].strip().casefold() != title.strip().casefold():
            asks = re.sub(r"\A<p>|</p>\s*\Z", "", prose(found[1]).html)
    return asks, list(zip(cells, sources, strict=True))


def _blocks(cells: list[tuple[NotebookNode, str]]) -> tuple[list[Block], list[Heading]]:
    blocks: list[Block] = []
    headings: list[Heading] = []
    left = BUDGET
    for cell, source in cells:
        if not source.strip():
            continue
        if cell.cell_type == "markdown":
            written = prose(source, frozenset({"content", *(h.anchor for h in headings)}))
            headings += [h for h in written.headings if h.level <= 3]
            blocks.append(Block(prose=written.html))
        elif cell.cell_type == "code":
            outputs = []
            for output in cell.outputs:
                html = output_html(output, left)
                left -= len(html)
                html, found = anchored(html, frozenset({"content", *(h.anchor for h in headings)}))
                headings += found
                outputs.append(html)
            block = Block(outputs=[o for o in outputs if o], code=_coloured(source), log=log_text(cell.outputs))
            if blocks and _says_nothing(block) and _says_nothing(blocks[-1]):
                block = replace(block, code=f"{blocks.pop().code}\n{block.code}")
            blocks.append(block)
        else:
            blocks.append(Block(prose=f"<pre>{escape(source)}</pre>"))
    return blocks, headings


def _says_nothing(block: Block) -> bool:
    """Whether there is only code to fold away: such cells in a row are folded together."""
    return bool(block.code) and not (block.outputs or block.log)


def _coloured(source: str) -> str:
    return highlight(source, PythonLexer(), HtmlFormatter(nowrap=True)).rstrip()
