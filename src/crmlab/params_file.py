"""A params file and those it extends, read as one; and what is wrong with them, as a person would put it."""

import difflib
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from crmlab.contract import Fault, Params, Refused, strict_yaml
from crmlab.data.paths import inside, study_folder

MOST_FAULTS = 50
"""Faults of one file that are told; more say nothing new."""

NAME = r"^[a-z0-9][a-z0-9_-]{0,39}$"
"""What the name of a study is made of."""

QUESTION = "CHOOSE: "
"""How a value begins that somebody has yet to choose."""

_MEND = "keep the file in the study's folder"
_SECRET = re.compile(r"[A-Za-z][\w+.-]*://[^/\s:@]*:[^/\s@]+@|\b(password|passwd|pwd)\s*=\s*\S", re.IGNORECASE)
_TURNING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_EXPECTED = (
    ("int_", "a whole number, plain: 12"),
    ("float_", "a number, plain: 0.5"),
    ("decimal_type", "a number, plain: 0.5"),
    ("decimal_parsing", "a number, plain: 0.5"),
    ("bool_", "true or false"),
    ("string_type", "text; put it in quotes"),
    ("string_too_short", "some text"),
    ("date", "a day, as 2024-01-31"),
    ("tuple_type", "a list, as [a, b]"),
    ("list_type", "a list, as [a, b]"),
    ("dict_type", "names and values below it, as 'name: value'"),
    ("model_", "names and values below it, as 'name: value'"),
    ("finite_number", "a finite number"),
)
"""Beginning of a kind of fault → what was expected."""

_PATTERNS = {
    r"^[1-9][0-9]{0,3}[dw]$": "days or weeks, as 56d or 8w",
    r"^[A-Z]{3}$": "three capital letters, as EUR",
}


@dataclass
class ParamsFile:
    """What a params file and those it extends say.

    `lines` says where each name stands, `faults` what no reading could mend; `folder` is where data paths start.
    Where not `whole`, a name that is not there may have been meant to be.
    """

    values: dict
    lines: dict[str, str]
    folder: Path
    faults: list[Fault]
    whole: bool


def read_params(path: Path) -> ParamsFile:
    """The params file over those it extends.

    Raises
    ------
    Refused
        It, or one that it extends, is no readable file inside the study's folder.
    """
    try:
        folder = path.parent.resolve()
    except (OSError, RuntimeError, ValueError):
        folder = path.parent
    found = inside(path.name, folder, "", mend=_MEND)
    if isinstance(found, list):
        raise Refused(str(path), found[0].what.removeprefix(f"{path.name} "))
    read = _over_its_base(found, str(path), (), study_folder(folder))
    faults = list(read.faults)
    return replace(read, values=_fit(read.values, "", read.lines, faults), faults=faults)


def _over_its_base(path: Path, shown: str, above: tuple[Path, ...], root: Path) -> ParamsFile:
    own, faults = strict_yaml.read(strict_yaml.text_of(path, subject=shown))
    of = f" of {path.name}" if above else ""
    faults = [Fault(f"{f.where}{of}", f.what) for f in faults]
    read = ParamsFile(own, _lines(own, of), path.parent, faults, whole=bool(own) or not faults)
    _put_in(read, root)
    if "extends" not in own:
        return read
    base, line, read.whole = own.pop("extends"), read.lines["extends"], False
    if not isinstance(base, str):
        read.faults.append(Fault(f"extends ({line})", f"got {_short(base)}, expected the path of a params file"))
        return read
    found = inside(base, path.parent, f"extends ({line})", root=root, mend=_MEND)
    if isinstance(found, list):
        read.faults += found
        return read
    chain = (*above, path)
    if found in chain:
        raise Refused(shown, "extends itself: " + " → ".join(p.name for p in (*chain, found)))
    below = _over_its_base(found, f"{base} (extended by {shown})", chain, root)
    if "study" not in own or own["study"] == below.values.get("study"):
        what = "missing" if "study" not in own else f"'{own['study']}' is the name of the study it extends"
        read.faults.append(Fault("study", f"{what}; a study that extends another needs a name of its own"))
    data = own.get("data") if isinstance(own.get("data"), dict) else {}
    folder = read.folder if "files" in data or "folder" in data else below.folder
    values = merged(below.values, own)
    faults = [*read.faults, *below.faults]
    return ParamsFile(values, below.lines | read.lines, folder, faults, below.whole)


def _put_in(read: ParamsFile, root: Path) -> None:
    """Put the content of each file that `segments.trees` names in the place of its path."""
    segments = read.values.get("segments")
    trees = segments.get("trees") if isinstance(segments, dict) else None
    for cycle, path in list(trees.items()) if isinstance(trees, dict) else []:
        at = f"segments.trees.{cycle}"
        if isinstance(path, dict):
            continue
        del trees[cycle]
        if not isinstance(path, str):
            what = f"got {_short(path)}, expected the path of a tree, as `crmlab tree` writes it"
            read.faults.append(Fault(placed(at, read.lines), what))
            continue
        found = inside(path, read.folder, placed(at, read.lines), root=root, mend=_MEND)
        if isinstance(found, list):
            read.faults += found
            continue
        try:
            content, faults = strict_yaml.read(strict_yaml.text_of(found, subject=path))
        except Refused as refused:
            content, faults = None, refused.faults
        read.faults += [Fault(f"{f.where} of {path}".removeprefix(" of "), f.what) for f in faults]
        if not faults:
            trees[cycle] = content
            read.lines |= _lines(content, f" of {path}", f"{at}.")


def merged(below: dict, above: dict) -> dict:
    """`above` over `below`: maps are merged name by name, but for cycles and trees; everything else is replaced."""
    result = dict(below)
    for key, value in above.items():
        both_maps = isinstance(value, dict) and isinstance(below.get(key), dict)
        whole = key == "cycles" or (both_maps and "nodes" in value)
        result[key] = merged(below[key], value) if both_maps and not whole else value
    return result


def _lines(value: Any, of: str, prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    if isinstance(value, strict_yaml.Lines):
        for key, inner in value.items():
            found[prefix + key] = f"line {value.lines[key]}{of}"
            found |= _lines(inner, of, f"{prefix}{key}.")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            if isinstance(inner, strict_yaml.Lines) and inner:
                found[f"{prefix}{number}"] = f"line {min(inner.lines.values())}{of}"
            found |= _lines(inner, of, f"{prefix}{number}.")
    return found


def _fit(value: Any, path: str, lines: dict[str, str], faults: list[Fault]) -> Any:
    """`value` without questions of a draft, passwords and signs that do not show: each a fault that does not repeat it.

    A name with such a sign is left out whole.
    """
    if isinstance(value, dict):
        names = {}
        for key, inner in value.items():
            at = f"{path}.{key}" if path else key
            if odd := _odd(key):
                faults.append(Fault(lines.get(at, ""), f"a name holds a sign that does not show ({odd}); delete it"))
            else:
                names[key] = _fit(inner, at, lines, faults)
        return names
    if isinstance(value, list):
        return [_fit(inner, f"{path}.{number}", lines, faults) for number, inner in enumerate(value)]
    if not isinstance(value, str):
        return value
    if value.startswith(QUESTION):
        what = f"still asks: {value.removeprefix(QUESTION)}; write the answer instead"
    elif _SECRET.search(value):
        what = "holds what looks like a password; keep it in an environment variable and give the name of that"
    elif odd := _odd(value):
        what = f"holds a sign that does not show ({odd}); delete it"
    else:
        return value
    faults.append(Fault(placed(path, lines), what))
    return ""


def _odd(text: str) -> str:
    """The first sign that does not show, cannot be written, or turns the text around."""
    odd = (c for c in text if c in _TURNING or (c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cs")))
    return next((f"U+{ord(c):04X}" for c in odd), "")


def validated[Model: Params](model: type[Model], read: ParamsFile, subject: str) -> Model:
    """The model that the values make, each of the kind that is asked for and never turned into it.

    Raises
    ------
    Refused
        With every fault, its line and, for a misspelt name, the likely one.
    """
    told, faults, found = {f.where for f in read.faults}, list(read.faults), None
    try:
        # Strict as JSON is: text is no number, yes is not true, and a day is written as one.
        found = model.model_validate_json(json.dumps(read.values), strict=True)
    except ValidationError as error:
        said = error.errors(include_url=False, include_context=True)
        said = [e for e in said if read.whole or e["type"] != "missing"]
        new = [f for e in said[: 4 * MOST_FAULTS] for f in _faults(e, model, read.lines)]
        faults += [f for f in new if f.where not in told and _line(f.where) not in told]
    if not faults and found is not None:
        return found
    more = len(faults) - MOST_FAULTS
    raise Refused(subject, faults[:MOST_FAULTS] + ([Fault("", f"and {more:,} more")] if more > 0 else []))


def _line(where: str) -> str:
    at = re.search(r"line \d+[^)]*", where)
    return at.group() if at else ""


def placed(path: str, lines: dict[str, str]) -> str:
    """The name and its line, or that of the nearest name above it."""
    at = path
    while at and at not in lines:
        at = at.rpartition(".")[0]
    return f"{path} ({lines[at]})" if at else path


def _faults(error: Any, model: type[Params], lines: dict[str, str]) -> list[Fault]:
    """One of the library's faults in words; a message that names several places gives one for each."""
    # A kind of calendar shows up in the location; it is no parameter's name.
    parts = [str(p) for p in error["loc"] if p not in ("listed", "by rule", "[key]")]
    path, kind = ".".join(parts), error["type"]
    place = placed(path, lines)
    if kind == "extra_forbidden":
        return [Fault(place, f"no such parameter{_likely(parts, model)}")]
    if kind == "missing":
        return [Fault(place, "missing; add it")]
    message = re.sub("^(Value error, |Input should be |String should have )", "", error["msg"])
    if kind == "value_error":
        return [Fault(placed(at, lines), what) for at, what in _parted(message, path)]
    expected = next((words for start, words in _EXPECTED if kind.startswith(start)), message)
    if kind == "string_pattern_mismatch":
        pattern = error.get("ctx", {}).get("pattern", "")
        letters = "lower-case letters" if "A-Z" not in pattern else "letters"
        expected = _PATTERNS.get(pattern, f"up to 40 {letters}, digits, - and _, of which the first is no - or _")
    if error["input"] is None:
        return [Fault(place, f"nothing is given, expected {expected}")]
    return [Fault(place, f"got {_short(error['input'])}, expected {expected}")]


def _parted(message: str, path: str) -> Iterator[tuple[str, str]]:
    """The places and faults of a message like ``a.b: what; c: what``, places relative to `path` or whole."""
    for part in re.split(r"; (?=[a-z_]\w*(?:\.[^\s:;]+)*: )", message):
        at, what = part.split(": ", 1) if re.match(r"[a-z_]\w*(\.[^\s:;]+)*: ", part) else ("", part)
        whole = at.split(".")[0] == path.split(".")[0]
        yield (at if whole else ".".join(filter(None, (path, at)))), what


def _short(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return "names and values" if isinstance(value, dict) else "a list"
    return text if len(text := repr(value)) <= 60 else f"{text[:57]}…"


def _likely(parts: list[str], model: type[Params]) -> str:
    """The name that was meant, where it belongs, or those there are."""
    models: list[type[Params]] = [model]
    for part in parts[:-1]:
        annotations = [m.model_fields[part].annotation for m in models if part in m.model_fields]
        models = [m for a in annotations for m in _models(a)] or models
    known = list(dict.fromkeys(name for m in models for name in m.model_fields))
    known += ["extends"] if len(parts) == 1 else []
    if near := difflib.get_close_matches(parts[-1].lower(), known, 1, cutoff=0.6):
        return f"; did you mean '{near[0]}'?"
    if len(parts) == 1:
        sections = {name: _models(f.annotation) for name, f in model.model_fields.items()}
        below = [name for name, inner in sections.items() if any(parts[0] in m.model_fields for m in inner)]
        return f"; it belongs below {' or '.join(below)}" if below else ""
    return f"; those there are: {', '.join(known)}"


def _models(annotation: Any) -> list[type[Params]]:
    if isinstance(annotation, type) and issubclass(annotation, Params):
        return [annotation]
    return [m for inner in get_args(annotation) for m in _models(inner)]
