"""What is concluded of a segment: the verdict of an interval of its spread, and p adjusted over segments."""

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from crmlab.contract import mark

NOT_IDENTIFIABLE = mark("not identifiable")
HETEROGENEOUS = mark("heterogeneous")
TRACE = mark("trace")
HOMOGENEOUS = mark("homogeneous")
UNDECIDED = mark("undecided")
VERDICTS = (NOT_IDENTIFIABLE, HETEROGENEOUS, TRACE, HOMOGENEOUS, UNDECIDED)


def verdict(low: float, high: float, tolerance: float, *, identifiable: bool = True) -> str:
    """The verdict of one interval of the spread, in the order that statistics and protocol state.

    A missing upper limit, as after a split, is no upper limit: neither trace nor homogeneous.
    """
    if not identifiable:
        return NOT_IDENTIFIABLE
    if low > tolerance:
        return HETEROGENEOUS
    if low > 0 and high < tolerance:
        return TRACE
    if high < tolerance:
        return HOMOGENEOUS
    return UNDECIDED


def benjamini_hochberg(p: pd.Series) -> pd.Series:
    """Adjust p for the false discovery rate over those that are known [Benjamini & Hochberg 1995]."""
    adjusted = pd.Series(np.nan, index=p.index, dtype=float)
    known = p.notna()
    if known.any():
        adjusted[known] = multipletests(p[known].to_numpy(), method="fdr_bh")[1]
    return adjusted
