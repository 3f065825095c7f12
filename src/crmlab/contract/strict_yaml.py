"""YAML as people write it, and nothing else: plain scalars, lists and maps, every fault with its line."""

import re
from pathlib import Path
from typing import Any

import yaml

from crmlab.contract.faults import Fault, Refused

LARGEST = 1_000_000
DEEPEST = 20
MOST_DIGITS = 40
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}


class Lines(dict):
    """A map that remembers the line on which each of its keys stands."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, int] = {}


def load(path: Path, *, subject: str | None = None) -> Lines:
    """Read a YAML file that must hold a map.

    Raises
    ------
    Refused
        Missing or unreadable file, not UTF-8, too large or deep, tags, anchors, duplicate keys: all at once.
    """
    subject = subject or str(path)
    try:
        if not path.is_file():
            raise Refused(subject, "no such file; check the path")
        if path.stat().st_size > LARGEST:
            raise Refused(subject, f"larger than {LARGEST:,} bytes; a params file is a page or two")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Refused(subject, f"not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    except OSError as error:
        raise Refused(subject, f"cannot be read: {error.strerror}; check the path and its permissions") from None
    return loads(text, subject=subject)


def loads(text: str, *, subject: str = "YAML") -> Lines:
    """As `load`, from text."""
    faults: list[Fault] = []
    try:
        events = list(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise Refused(subject, [Fault(where, f"{problem}; check indentation, quotes and colons")]) from None
    documents = [event.start_mark.line + 1 for event in events if isinstance(event, yaml.DocumentStartEvent)]
    if len(documents) > 1:
        faults.append(
            Fault(f"line {documents[1]}", f"holds {len(documents)} documents; keep one, without '---' between")
        )
    value, _ = _node(events, 2, "", 0, faults) if len(events) > 3 else (Lines(), 0)
    if not isinstance(value, Lines):
        faults.append(Fault("line 1", "expected 'name: value' lines"))
    if faults:
        raise Refused(subject, faults)
    return value


def _node(events: list, at: int, path: str, depth: int, faults: list[Fault]) -> tuple[Any, int]:
    event = events[at]
    line = event.start_mark.line + 1
    where = f"line {line}"
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
        faults.append(Fault(where, "anchors and aliases (& and *) are not allowed; write the value out"))
    if getattr(event, "tag", None):
        faults.append(Fault(where, f"tags are not allowed, got '{event.tag}'; write a plain value"))
    if depth > DEEPEST:
        raise Refused(path, [Fault(where, f"nested deeper than {DEEPEST} levels")])
    if isinstance(event, yaml.ScalarEvent):
        return (_scalar(event.value) if event.style is None else event.value), at + 1
    if isinstance(event, yaml.SequenceStartEvent):
        items, at = [], at + 1
        while not isinstance(events[at], yaml.SequenceEndEvent):
            item, at = _node(events, at, f"{path}[{len(items)}]", depth + 1, faults)
            items.append(item)
        return items, at + 1
    if isinstance(event, yaml.MappingStartEvent):
        mapping, at = Lines(), at + 1
        while not isinstance(events[at], yaml.MappingEndEvent):
            key_line = events[at].start_mark.line + 1
            if not isinstance(events[at], yaml.ScalarEvent):
                faults.append(Fault(f"line {key_line}", "a name must be plain text"))
            key, at = _node(events, at, path, depth + 1, faults)
            value, at = _node(events, at, f"{path}.{key}", depth + 1, faults)
            key = str(key)
            if key in mapping:
                faults.append(Fault(f"line {key_line}", f"'{key}' stands twice, first on line {mapping.lines[key]}"))
            mapping[key] = value
            mapping.lines[key] = key_line
        return mapping, at + 1
    return None, at + 1


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
