"""Which data a study reads: a known source with its options, or files with their own names for things."""

import codecs
import re
from datetime import date
from difflib import get_close_matches
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import to_json

from crmlab.contract import Params
from crmlab.data.schema import SCHEMA
from crmlab.data.sources import SOURCES

NOT_FOR_TEXT = {"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "mbcs", "oem", "utf-7"}
"""Codecs of Python in which no company writes its files."""


class FileParams(Params):
    """One raw table, of a file or a database, and how to read it."""

    path: str | None = Field(default=None, min_length=1)
    """File, in the folder of the study: .csv, .txt or .tsv (each also with .gz), .parquet or .xlsx."""
    sheet: str | None = Field(default=None, min_length=1)
    """Sheet of an Excel file; needed where it has several."""
    database: str | None = Field(default=None, min_length=1)
    """In place of `path`: a DuckDB file, or the name of the environment variable that holds a postgresql:// address."""
    table: str | None = Field(default=None, min_length=1)
    """Table of the database, with its schema: ``sales.orders``."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Canonical name → name in the file, where they differ."""
    dropped: tuple[str, ...] = ()
    """Columns that earlier cycles had and that are known to be gone."""
    date_format: str | None = None
    """Format of dates that are text, as in strptime (``%d/%m/%Y``); default ISO 8601."""
    hours: int = Field(default=0, ge=-26, le=26)
    """Hours added to time stamps before the day is taken: −5 for UTC stamps of a place five hours behind."""
    separator: str | None = Field(default=None, min_length=1, max_length=1)
    """Between the fields of a text file; default: detected in its first lines, and said."""
    decimal: Literal[".", ","] | None = None
    """Decimal mark of amounts and numbers that are text; default: detected in them, and said."""
    thousands: Literal[".", ",", " ", "'"] | None = None
    """Mark between groups of three digits; default: none."""
    encoding: str = "utf-8"
    """Encoding of a text file: ``utf-8``, ``cp1252``, ``utf-16`` and so on."""

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, encoding: str) -> str:
        try:
            codec = codecs.lookup(encoding)
        except (LookupError, ValueError):
            codec = None
        if codec is None or not codec._is_text_encoding or codec.name.replace("_", "-") in NOT_FOR_TEXT:
            raise ValueError(f"encoding {encoding!r} is unknown; write one such as utf-8, cp1252, latin-1 or utf-16")
        return encoding

    @field_validator("separator")
    @classmethod
    def _a_separator(cls, separator: str | None) -> str | None:
        if separator is not None and (separator.isalnum() or separator in "\"\r\n\0 .-'" or not separator.isascii()):
            raise ValueError(f'separator {separator!r} cannot stand between fields; write ",", ";", "|" or "\\t"')
        return separator

    @field_validator("date_format")
    @classmethod
    def _a_day(cls, form: str | None) -> str | None:
        if form is None:
            return form
        parts = set(re.findall(r"%-?(.|$)", form.replace("%%", "")))
        if odd := sorted(parts - set("YymdbBjHIMSfpzaA")):
            raise ValueError(f"date_format {form!r}: %{odd[0]} is not known; write one such as %d/%m/%Y")
        if not (parts & set("Yy") and (parts & {"j"} or (parts & set("mbB") and "d" in parts))):
            raise ValueError(f"date_format {form!r} must say day, month and year, as %d/%m/%Y does")
        return form

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.database is None):
            raise ValueError("give either 'path' or 'database'")
        if (self.database is None) != (self.table is None):
            raise ValueError("'database' and 'table' go together")
        if self.sheet is not None and not str(self.path).lower().endswith((".xlsx", ".xlsm")):
            raise ValueError("'sheet' belongs to an Excel file (.xlsx)")
        if self.thousands is not None and self.thousands == self.decimal:
            raise ValueError(f"'thousands' and 'decimal' cannot both be {self.decimal!r}")
        if self.thousands is not None and self.decimal is None:
            raise ValueError("'thousands' needs 'decimal' beside it")
        twice = sorted({name for name in self.columns.values() if list(self.columns.values()).count(name) > 1})
        if twice:
            raise ValueError(f"columns: {twice[0]!r} is mapped twice; a column of the file is one column here")
        return self


class DataParams(Params):
    """The data of a study: either `source` (with `options`) or `files`."""

    source: str | None = None
    """A known source, for example ``simulated``."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of that source."""
    files: dict[str, FileParams] = Field(default_factory=dict)
    """Canonical table → file."""
    folder: str | None = Field(default=None, min_length=1)
    """Folder in which the files lie, and which no path may leave; default: the study's own."""
    duplicates: Literal["keep", "drop", "refuse"] = "keep"
    """Lines of transactions equal to another in every column: further units bought, one line twice, or a fault."""
    dropped: tuple[str, ...] = ()
    """Tables that earlier cycles had and that are known to be gone."""
    returns: Literal["net", "set_aside", "refuse"] = "net"
    """Negative amounts: they lower what was bought, are left out, or are a fault."""
    anonymous: Literal["refuse", "set_aside"] = "refuse"
    """Lines of transactions without a customer, where they are many: something is wrong, or sales to nobody known."""
    extracted_on: date | None = None
    """Last day the raw data cover; later dates are bad rows. Default: what the source says."""

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.source is None) == (not self.files):
            raise ValueError("give either 'source' or 'files'")
        if self.source is None:
            if self.options:
                raise ValueError("'options' belong to a 'source'; files carry their own")
            _known_tables(self.files)
            return self
        if self.source not in SOURCES:
            raise ValueError(f"source {self.source!r} is unknown; {_known(self.source, list(SOURCES))}")
        _valid_options(self.source, self.options)
        return self

    def source_options(self) -> Params:
        """The options of the source, checked, with its defaults."""
        return SOURCES[self.source].options.model_validate(self.options)


def _known(given: str, names: list[str]) -> str:
    close = get_close_matches(given, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(sorted(names))}"


def _known_tables(files: dict[str, FileParams]) -> None:
    faults = [f"files.{name}: no such table; {_known(name, list(SCHEMA))}" for name in files if name not in SCHEMA]
    for name in (name for name in files if name in SCHEMA and not SCHEMA[name].open):
        schema = SCHEMA[name]
        faults += [
            f"files.{name}.columns.{column}: no such column; {_known(column, list(schema.columns))}"
            for column in files[name].columns
            if column not in schema.columns
        ]
    if faults:
        raise ValueError("; ".join(faults))


def _valid_options(source: str, options: dict[str, Any]) -> None:
    model = SOURCES[source].options
    try:
        # Strict as the params file around them is: text is no number, and yes is not 1.
        model.model_validate_json(to_json(options), strict=True)
    except ValidationError as error:
        faults = []
        for fault in error.errors():
            where, expected = ".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Input should be ")
            if fault["type"] == "extra_forbidden":
                faults.append(f"options.{where}: no such option; {_known(where, list(model.model_fields))}")
            else:
                faults.append(f"options.{where}: got {fault['input']!r}, expected {expected}")
        raise ValueError("; ".join(faults)) from None
