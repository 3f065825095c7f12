"""One output of a cell as safe HTML; what needs a program to be shown is left out."""

import re
import struct
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from crmlab.contract import say
from crmlab.report.clean import clean
from crmlab.report.prose import prose

BUDGET = 4_300_000
"""Characters of output a page may hold, so that the whole stays under 5 MB."""

MOST_LOG = 20_000
"""Characters of messages shown for a cell: the last ones."""

_PICTURES = ("image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_OBJECT = re.compile(r"\A<[\w.]+[\s:].*>\Z|\ANone\Z", re.DOTALL)


def output_html(output: Mapping[str, Any], left: int = BUDGET) -> str:
    """`output` as safe HTML, or ``""`` where there is nothing to see.

    Parameters
    ----------
    output
        A notebook's output: ``stream`` gives nothing here (see `log_text`), ``error`` a red box, the others their
        richest representation that is static.
    left
        Characters the page can still take; a larger output is left out, saying so.
    """
    kind = output.get("output_type")
    if kind == "error":
        return _error(output)
    if kind not in ("display_data", "execute_result"):
        return ""
    data, notes = output.get("data", {}), output.get("metadata", {})
    size = sum(len(_joined(v)) for k, v in data.items() if not k.startswith("application/"))
    html = _representation(data, notes) if size <= left else ""
    if size > left or len(html) > left:
        return f'<p class="left-out">{escape(say("This output is too large for a page; the notebook holds it."))}</p>'
    return html


def log_text(outputs: Iterable[Mapping[str, Any]]) -> str:
    """The messages of a cell as they stood on a terminal at the end, without colours."""
    text = "".join(_joined(o.get("text", "")) for o in outputs if o.get("output_type") == "stream")
    lines = [line.rsplit("\r", 1)[-1] for line in _ANSI.sub("", text).replace("\r\n", "\n").split("\n")]
    text = "\n".join(lines).strip()
    return text if len(text) <= MOST_LOG else "…" + text[-MOST_LOG:]


def _representation(data: Mapping[str, Any], notes: Mapping[str, Any]) -> str:
    if "text/html" in data:
        return clean(_joined(data["text/html"]))
    if "text/markdown" in data:
        return prose(_joined(data["text/markdown"])).html
    if "text/latex" in data:
        return prose(f"$${_joined(data['text/latex']).strip().strip('$')}$$").html
    for mime in _PICTURES:
        if mime in data:
            return _picture(mime, _joined(data[mime]), _alt(data, notes, mime))
    plain = _joined(data.get("text/plain", ""))
    if not plain or _OBJECT.match(plain.strip()) or any(k.startswith("application/") for k in data):
        return ""
    return f"<pre>{escape(_ANSI.sub('', plain))}</pre>"


def _alt(data: Mapping[str, Any], notes: Mapping[str, Any], mime: str) -> str:
    """What the picture shows, from its metadata; else its text form, unless that only names an object."""
    told = notes.get(mime, {}).get("alt") or notes.get("alt")
    plain = _joined(data.get("text/plain", "")).strip()
    return str(told or ("" if _OBJECT.match(plain) else plain) or say("A picture without a description."))


def _picture(mime: str, content: str, alt: str) -> str:
    if mime == "image/svg+xml":
        encoded, size = b64encode(content.encode()).decode(), ""
    else:
        encoded = re.sub(r"[^A-Za-z0-9+/=]", "", content)
        size = _png_size(encoded) if mime == "image/png" else ""
    return f'<figure class="picture"><img src="data:{mime};base64,{encoded}" alt="{escape(alt)}"{size}></figure>'


def _png_size(encoded: str) -> str:
    """Width and height of a PNG as attributes, so that the page does not jump while it is laid out."""
    head = b64decode(encoded[:32]) if len(encoded) >= 32 and "=" not in encoded[:32] else b""
    if not head.startswith(b"\x89PNG") or len(head) < 24:
        return ""
    width, height = struct.unpack(">II", head[16:24])
    return f' width="{width}" height="{height}"'


def _error(output: Mapping[str, Any]) -> str:
    name, value = str(output.get("ename", "")), str(output.get("evalue", ""))
    trace = escape(_ANSI.sub("", "\n".join(output.get("traceback", []))))
    folded = f"<details><summary>{escape(say('Where it stopped'))}</summary><pre>{trace}</pre></details>"
    said = escape(_ANSI.sub("", f"{name}: {value}"))
    return f'<div class="error" role="alert"><p><strong>{said}</strong></p>{folded if trace else ""}</div>'


def _joined(value: Any) -> str:
    return "".join(value) if isinstance(value, list) else str(value)
