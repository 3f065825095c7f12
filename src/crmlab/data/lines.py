"""Read a text file line by line: which lines are rows, which are not and why, and on which line each row begins.

The engine reads a sound file by itself and much faster; this is for files that it refuses, or whose encoding it does
not know. What is a row here is a row there: fields between separators, a quoted field may hold separators, line ends
and doubled quotes, a quote inside an unquoted field is itself, empty fields too many at the end of a line are none.
"""

import codecs
import gzip
import re
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from crmlab.contract import mark

TOO_MANY = mark("more fields than the header has")
TOO_FEW = mark("fewer fields than the header has")
OPEN_QUOTE = mark("a quote that never closes")
STRAY_QUOTE = mark("text after a closing quote")
UNDECODABLE = mark("bytes that are no text in the encoding of the file")
NUL = mark("a zero byte")
TOO_LONG = mark("a line longer than a million characters")
MALFORMED = (TOO_MANY, TOO_FEW, OPEN_QUOTE, STRAY_QUOTE, UNDECODABLE, NUL, TOO_LONG)
"""Why a line is no row."""

PIECE = 4_000_000
LONGEST = 1_000_000
MOST_JOINED = 1_000
"""A quoted field that is not closed within so many lines, or bytes, never is: only its first line is condemned."""
ENOUGH = 100_000
"""Where so many lines, and more than half of those read, are no rows, reading ends: the file is not what was said."""
EMPTY = b" \t\x0b\x0c\x1a"


def _kept(error: UnicodeError) -> tuple[str, int]:
    return "\udcff", error.end


codecs.register_error("crmlab.undecodable", _kept)


@dataclass
class Sifted:
    """What was found in a text file.

    Parameters
    ----------
    rows
        How many rows there are.
    bad
        Line, reason and text of each line that is no row.
    """

    rows: int = 0
    bad: list[tuple[int, str, str]] = field(default_factory=list)
    _first: array = field(default_factory=lambda: array("q"))
    _line: array = field(default_factory=lambda: array("q"))

    def line_of(self, row: int) -> int:
        """The physical line on which the row of that number (from 1 on) begins."""
        place = bisect_right(self._first, row) - 1
        return self._line[place] + row - self._first[place]

    def go_on(self, line: int) -> None:
        """The next row begins on `line`, those after it on the following lines."""
        if self._first and self.line_of(self.rows + 1) == line:
            return
        if self._first and self._first[-1] == self.rows + 1:
            self._line[-1] = line
        else:
            self._first.append(self.rows + 1)
            self._line.append(line)


def is_utf8(encoding: str) -> bool:
    """Whether the bytes of such a file are UTF-8."""
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")


def pieces(path: Path, encoding: str) -> Iterator[bytes]:
    """The file in pieces of UTF-8, without its mark; bytes that are no text in `encoding` become one 0xFF."""
    first = True
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
        read = iter(lambda: file.read(PIECE), b"") if is_utf8(encoding) else _decoded(file, encoding)
        for piece in read:
            yield piece.removeprefix(codecs.BOM_UTF8) if first else piece
            first = False


def _decoded(file: gzip.GzipFile, encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("crmlab.undecodable")
    while piece := file.read(PIECE):
        if text := decoder.decode(piece):
            yield text.encode("utf-8", "surrogateescape")
    yield decoder.decode(b"", True).encode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class Grammar:
    """What a row is: the separator, how many fields, and regular expressions.

    They are of a row that every reader reads alike, of one field, of a row, of any number of fields, and of fields of
    which the last is not closed.
    """

    separator: bytes
    width: int
    simple: re.Pattern[bytes]
    one: re.Pattern[bytes]
    row: re.Pattern[bytes]
    fields: re.Pattern[bytes]
    opens: re.Pattern[bytes]


def grammar(separator: str, width: int) -> Grammar:
    """Rows of `width` fields between `separator`."""
    between = re.escape(separator.encode())
    quoted = rb' *+"(?:[^"]|"")*+" *+'
    one = rb'(?:%b|(?! *+")[^%b\r\n]*+)' % (quoted, between)
    plain = rb'(?:"[^"\r\n]*+"|[^"%b\r\n]*+)' % between
    simple = rb"%b(?:%b%b){%d}" % (plain, between, plain, width - 1)
    row = rb'%b(?:%b%b){%d}(?:%b(?:"")?)*+' % (one, between, one, width - 1, between)
    fields = rb"(?:%b%b)*+%b" % (one, between, one)
    opens = rb'(?:%b%b)*+ *+"(?:[^"]|"")*+' % (one, between)
    return Grammar(separator.encode(), width, *map(re.compile, (simple, one, row, fields, opens)))


def sift(read: Iterator[bytes], rows: Grammar, *, skip: int, keep: Callable[[bytes], object] | None = None) -> Sifted:
    """Hand every row on to `keep`, each ended by a line feed, and tell which lines are none.

    Parameters
    ----------
    read
        The file, as of `pieces`.
    rows
        What a row is.
    skip
        Lines before the first row: the header.
    """
    found, line, rest, overlong = Sifted(), 1, b"", False
    keep = keep or (lambda _: None)
    for piece in read:
        text = rest + piece
        end = max(text.rfind(b"\n"), text.rfind(b"\r", 0, -1)) + 1
        if overlong and end:
            cut = re.search(rb"\r\n|\r|\n", text).end()
            found.bad.append((line, TOO_LONG, _shown(text[:200])))
            line, text, end, overlong = line + 1, text[cut:], end - cut, False
        if not end:
            overlong = overlong or len(text) > LONGEST
            rest = text[:200] if overlong else text
            continue
        block, tail = text[:end], text[end:]
        line, used = _block(block, line, rows, skip, found, keep, last=False)
        rest = block[used:] + tail
        if len(found.bad) > ENOUGH and len(found.bad) > found.rows:
            return found
    if overlong:
        found.bad.append((line, TOO_LONG, _shown(rest)))
    elif rest:
        _block(rest, line, rows, skip, found, keep, last=True)
    return found


def _block(
    block: bytes, line: int, rows: Grammar, skip: int, found: Sifted, keep: Callable, *, last: bool
) -> tuple[int, int]:
    """Sift whole lines; the number of the line after those used, and how many bytes were."""
    sound = _sound(block)
    if b'"' in block or line <= skip or not sound:
        return _one_by_one(block, line, rows, skip, found, keep, last=last, sound=sound)
    used = len(block)
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not block.endswith(b"\n"):
        block += b"\n"
    codes = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(codes == 10)
    counts = np.diff(np.searchsorted(np.flatnonzero(codes == rows.separator[0]), ends), prepend=0)
    odd = (counts != rows.width - 1) | (np.diff(ends, prepend=-1) > LONGEST)
    if rows.width == 1:
        odd |= np.diff(ends, prepend=-1) == 1
    begin, at = 0, 0
    found.go_on(line)
    for place in [*np.flatnonzero(odd).tolist(), len(ends)]:
        start = int(ends[place - 1]) + 1 if place else 0
        if place > at:
            keep(block[begin:start])
            found.rows += place - at
        if place < len(ends):
            begin, at = int(ends[place]) + 1, place + 1
            _one(block[start : begin - 1], line + place, 1, rows, found, keep, sound=True)
    return line + len(ends), used


def _one_by_one(
    block: bytes, line: int, rows: Grammar, skip: int, found: Sifted, keep: Callable, *, last: bool, sound: bool
) -> tuple[int, int]:
    lines = block.splitlines(keepends=True)
    at = used = 0
    while at < len(lines):
        if line <= skip:
            at, line, used = at + 1, line + 1, used + len(lines[at])
            continue
        joined = _joined(lines, at, rows, last=last)
        if joined is None:
            break
        whole = b"".join(lines[at : at + joined]) if joined > 1 else lines[at]
        found.go_on(line)
        _one(whole.rstrip(b"\r\n"), line, joined, rows, found, keep, sound=sound)
        at, line, used = at + joined, line + joined, used + len(whole)
    return line, used


def _joined(lines: list[bytes], at: int, rows: Grammar, *, last: bool) -> int | None:
    """How many lines make the row that begins at `at`: one where it is none; None where that lies in the next piece."""
    if b'"' not in lines[at]:
        return 1
    text, size = lines[at].rstrip(b"\r\n"), 0
    if rows.simple.fullmatch(text) or rows.row.fullmatch(text) or not rows.opens.fullmatch(text):
        return 1
    for more in range(1, MOST_JOINED):
        size += len(lines[at + more - 1])
        if size > LONGEST:
            return 1
        if at + more == len(lines):
            return 1 if last else None
        if b'"' in lines[at + more]:
            text = b"".join(lines[at : at + more + 1]).rstrip(b"\r\n")
            if rows.row.fullmatch(text):
                return more + 1
            if not rows.opens.fullmatch(text):
                return 1
    return 1


def _one(text: bytes, line: int, joined: int, rows: Grammar, found: Sifted, keep: Callable, *, sound: bool) -> None:
    """A row to be kept, an empty line to be passed over, or a line that is none."""
    if not text.strip(EMPTY.replace(rows.separator, b"")):
        found.go_on(line + joined)
        return
    reason = None if sound or _sound(text) else NUL if b"\0" in text else UNDECODABLE
    if len(text) > LONGEST:
        reason = TOO_LONG
    simple = reason is None and rows.simple.fullmatch(text)
    if reason is None and not simple and not rows.row.fullmatch(text):
        reason = _wrong(text, rows)
    if reason is None:
        keep(text + b"\n" if simple else _plainly(text, rows))
        found.rows += 1
        if joined > 1:
            found.go_on(line + joined)
        return
    found.bad.append((line, reason, _shown(text)))
    found.go_on(line + joined)


def _plainly(text: bytes, rows: Grammar) -> bytes:
    """A row as every reader reads it alike: no blanks around quotes, one kind of line end within them."""
    fields, at = [], 0
    for _ in range(rows.width):
        one = rows.one.match(text, at)
        at = one.end() + 1
        value = one[0].strip(b" ")
        if not value.startswith(b'"'):
            value = b'"%b"' % one[0].replace(b'"', b'""') if b'"' in value else one[0]
        fields.append(value.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
    return rows.separator.join(fields) + b"\n"


def _wrong(text: bytes, rows: Grammar) -> str:
    if not rows.fields.fullmatch(text):
        return OPEN_QUOTE if rows.opens.fullmatch(text) else STRAY_QUOTE
    bare = re.sub(rb'"(?:[^"]|"")*+"', b"", text)
    return TOO_MANY if bare.count(rows.separator) >= rows.width else TOO_FEW


def _sound(text: bytes) -> bool:
    if b"\0" in text:
        return False
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _shown(text: bytes) -> str:
    return text[:10_000].decode("utf-8", "replace").replace("\0", "\ufffd")
