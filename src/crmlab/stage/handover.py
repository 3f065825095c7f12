"""How results are written when a notebook hands them over."""

from pathlib import Path
from typing import Any

import pandas as pd

from crmlab.contract import Result, say, strict_yaml
from crmlab.segments.nodes import Tree
from crmlab.segments.written import to_yaml
from crmlab.trials.protocol import Protocol


def headline(result: Any) -> dict[str, str] | None:
    """What the index shows of a result: its title and its one sentence."""
    sentence = result.headline() if isinstance(result, Result) else None
    return {"label": say(result.title), "text": str(sentence)} if sentence else None


def as_yaml(value: Any) -> str:
    """A tree, a protocol or plain values as YAML."""
    if isinstance(value, Tree):
        return to_yaml(value)
    return value.to_yaml() if isinstance(value, Protocol) else strict_yaml.dump(value)


def frame_of(kept: Result | pd.DataFrame | pd.Series) -> pd.DataFrame:
    """What is published of a kept value: a result's table; of a series, its index as a column."""
    kept = kept.table if isinstance(kept, Result) else kept
    return kept.reset_index() if isinstance(kept, pd.Series) else kept


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet, readable by its owner alone."""
    frame.to_parquet(path, index=False, compression="zstd")
    path.chmod(0o600)
