"""Verdicts follow the stated order; p are adjusted over segments that have one."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control

from crmlab.contract import generator
from crmlab.reanalysis.verdicts import (
    HETEROGENEOUS,
    HOMOGENEOUS,
    NOT_IDENTIFIABLE,
    TRACE,
    UNDECIDED,
    benjamini_hochberg,
    verdict,
)


@pytest.mark.parametrize(
    ("low", "high", "identifiable", "expected"),
    [
        (0.0, 0.01, False, NOT_IDENTIFIABLE),
        (0.06, 0.09, True, HETEROGENEOUS),
        (0.06, np.nan, True, HETEROGENEOUS),
        (0.01, 0.04, True, TRACE),
        (0.0, 0.04, True, HOMOGENEOUS),
        (0.01, 0.09, True, UNDECIDED),
        (0.0, 0.09, True, UNDECIDED),
        (0.0, np.nan, True, UNDECIDED),
        (0.01, np.nan, True, UNDECIDED),
        (np.nan, np.nan, True, UNDECIDED),
    ],
)
def test_the_verdict_follows_the_stated_order(low, high, identifiable, expected):
    assert verdict(low, high, 0.05, identifiable=identifiable) == expected


def test_p_are_adjusted_over_segments_that_have_one():
    found = benjamini_hochberg(pd.Series([0.01, np.nan, 0.04, 0.03]))
    assert found.tolist() == pytest.approx([0.03, np.nan, 0.04, 0.04], nan_ok=True)
    assert benjamini_hochberg(pd.Series([np.nan, np.nan])).isna().all()


def test_adjusted_p_equal_scipy():
    p = generator(1, "p").random(20)
    np.testing.assert_allclose(benjamini_hochberg(pd.Series(p)), false_discovery_control(p))
