"""Which data a study reads: a known source with its options, or files with their own names for things."""

from datetime import date
from difflib import get_close_matches
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from crmlab.contract import Params
from crmlab.data.schema import SCHEMA
from crmlab.data.sources import SOURCES


class FileParams(Params):
    """One raw file and how to read it."""

    path: str
    """File, relative to the folder of the params file: .csv, .csv.gz, .txt or .parquet."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Canonical name → name in the file, where they differ."""
    date_format: str | None = None
    """Format of dates that are text, as in strptime (``%d/%m/%Y``); default ISO 8601."""
    hours: int = Field(default=0, ge=-26, le=26)
    """Hours added to time stamps before the day is taken: −5 for UTC stamps of a place five hours behind."""
    separator: str = Field(default=",", min_length=1, max_length=1)
    """Between the fields of a text file."""
    decimal: Literal[".", ","] = "."
    """Decimal mark of amounts and numbers that are text."""
    encoding: Literal["utf-8", "latin-1", "utf-16"] = "utf-8"
    """Encoding of a text file."""


class DataParams(Params):
    """The data of a study: either `source` (with `options`) or `files`."""

    source: str | None = None
    """A known source, for example ``simulated``."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of that source."""
    files: dict[str, FileParams] = Field(default_factory=dict)
    """Canonical table → file."""
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
        model.model_validate(options)
    except ValidationError as error:
        faults = []
        for fault in error.errors():
            where = ".".join(map(str, fault["loc"]))
            if fault["type"] == "extra_forbidden":
                faults.append(f"options.{where}: no such option; {_known(where, list(model.model_fields))}")
            else:
                faults.append(f"options.{where}: got {fault['input']!r}, {fault['msg']}")
        raise ValueError("; ".join(faults)) from None
