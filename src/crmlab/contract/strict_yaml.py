"""YAML as people write it, and nothing else: plain scalars, lists and maps, every fault with its line."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from crmlab.contract.faults import Fault, Refused

LARGEST = 250_000
DEEPEST = 20
MOST_DIGITS = 40
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
_PLAINLY = (
    ("found character '\\t'", "a tab; indent with blanks"),
    ("mapping values are not allowed", "a second ': ', or a wrong indentation; put text that holds ': ' in quotes"),
    ("that cannot start any token", "text begins with a sign that means something else here; put it in quotes"),
    ("unexpected end of stream", "a quote or bracket is opened here and never closed; close it"),
)


class Lines(dict):
    """A map that remembers the line on which each of its keys stands."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, int] = {}


class _Unreadable(Exception):
    """Nothing after this place can be read."""


def load(path: Path, *, subject: str | None = None) -> Lines:
    """Read a YAML file that must hold a map.

    Raises
    ------
    Refused
        Missing or unreadable file, not UTF-8, too large or deep, tags, anchors, duplicate keys: all at once.
    """
    return loads(text_of(path, subject=subject), subject=subject or str(path))


def text_of(path: Path, *, subject: str | None = None) -> str:
    """The text of a small file in UTF-8, refused as by `load`."""
    subject = subject or str(path)
    try:
        if not path.is_file():
            raise Refused(subject, "is no regular file" if path.exists() else "no such file; check the path")
        if path.stat().st_size > LARGEST:
            raise Refused(subject, f"larger than {LARGEST:,} bytes; a params file is a page or two")
        raw = path.read_bytes()
    except OSError as error:
        raise Refused(subject, f"cannot be read: {error.strerror}; check the path and its permissions") from None
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or raw[:200].count(b"\0") > len(raw[:200]) / 10:
        raise Refused(subject, "is UTF-16 or no text at all; save the file as UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        what = f"not UTF-8 at byte {error.start}; save the file as UTF-8"
        raise Refused(subject, [Fault(f"line {line}", what)]) from None


def loads(text: str, *, subject: str = "YAML") -> Lines:
    """As `load`, from text."""
    value, faults = read(text)
    if faults:
        raise Refused(subject, faults)
    return value


def read(text: str) -> tuple[Lines, list[Fault]]:
    """What could be read of the map in `text`, and all that is wrong with it, each with its line."""
    faults: list[Fault] = []
    value: Any = Lines()
    try:
        events = yaml.parse(text, Loader=yaml.SafeLoader)
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if event.version or event.tags:
                    faults.append(Fault(_line(event), "directives (%) are not allowed; delete the line"))
                value = _node(next(events), events, 0, faults)
                break
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                faults.append(Fault(_line(event), "holds 2 documents; keep one, without '---' between"))
                break
    except _Unreadable:
        return Lines(), faults
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        sign = f"U+{error.character:04X}" if isinstance(error.character, int) else repr(error.character)
        return Lines(), [Fault(f"line {line}", f"not YAML: a sign that cannot be printed ({sign}); delete it")]
    except yaml.YAMLError as error:
        return Lines(), [*faults, _syntax(error)]
    if not isinstance(value, Lines):
        faults.append(Fault("line 1", "expected 'name: value' lines"))
        value = Lines()
    return value, faults


def _line(event: Any) -> str:
    return f"line {event.start_mark.line + 1}"


def _syntax(error: yaml.YAMLError) -> Fault:
    problem = getattr(error, "problem", None) or "not YAML"
    at = getattr(error, "problem_mark", None)
    if "unexpected end of stream" in problem:
        at = getattr(error, "context_mark", None) or at
    unknown = f"{problem}; check indentation, quotes and colons"
    plainly = next((words for sign, words in _PLAINLY if sign in problem), unknown)
    return Fault(f"line {at.line + 1}" if at else "", plainly)


def _node(event: Any, events: Iterator, depth: int, faults: list[Fault]) -> Any:
    where = _line(event)
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
        faults.append(Fault(where, "anchors and aliases (& and *) are not allowed; write the value out"))
    if getattr(event, "tag", None):
        faults.append(Fault(where, f"tags are not allowed, got '{event.tag}'; write a plain value"))
    if depth > DEEPEST:
        faults.append(Fault(where, f"nested deeper than {DEEPEST} levels; a params file needs four"))
        raise _Unreadable
    if isinstance(event, yaml.ScalarEvent):
        return _value(event, faults)
    if isinstance(event, yaml.SequenceStartEvent):
        items = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(_node(event, events, depth + 1, faults))
        return items
    if isinstance(event, yaml.MappingStartEvent):
        mapping = Lines()
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            name, line = _name(event, events, depth, faults), event.start_mark.line + 1
            value = _node(next(events), events, depth + 1, faults)
            if name in mapping:
                faults.append(Fault(f"line {line}", f"{name!r} stands twice, first on line {mapping.lines[name]}"))
            mapping[name] = value
            mapping.lines[name] = line
        return mapping
    return None


def _name(event: Any, events: Iterator, depth: int, faults: list[Fault]) -> str:
    """A name is the text that is written, also where it looks like a number."""
    found = _node(event, events, depth + 1, faults)
    if not isinstance(event, yaml.ScalarEvent):
        faults.append(Fault(_line(event), "a name must be plain text"))
        return str(found)
    if event.value == "<<":
        faults.append(Fault(_line(event), "'<<' (merge) is not allowed; write the values out"))
    return event.value


def _value(event: yaml.ScalarEvent, faults: list[Fault]) -> Any:
    text = event.value
    value = _scalar(text) if event.style is None else text
    if isinstance(value, float) and not math.isfinite(value):
        faults.append(Fault(_line(event), f"{text} is too large a number; write a smaller one"))
        return None
    return value


def _scalar(text: str) -> Any:
    """Integers, decimals, true, false and null; everything else, dates too, stays text."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INTEGER.fullmatch(text) and len(text) <= MOST_DIGITS:
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


class _Dumper(yaml.SafeDumper):
    """Quotes every text that `load` would read as something else, and never writes an anchor."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> yaml.Node:
    quoted = "'" if _scalar(text) != text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=quoted)


_Dumper.add_representer(str, _text)


def dump(value: Any) -> str:
    """`value` as YAML that `load` reads back."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
