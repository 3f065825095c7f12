import numpy as np
import pandas as pd
import pytest

from crmlab.clv.value.by_segment import segment_value
from crmlab.clv.value.lifetime import LifetimeValue, sums_of
from crmlab.contract import Basis

NAMES = {"s1": "Loyal", "s2": "New"}


def ltv(values, width=0.1):
    table = pd.DataFrame({"customer_id": [f"{i:03d}" for i in range(len(values))], "clv": values})
    draws = np.asarray(values, float)[:, None] * np.linspace(1 - width, 1 + width, 21)
    return LifetimeValue(table, Basis(len(values), "customers"), sums_of(draws), 52, 0.1, 0.3)


def members(*segments):
    return pd.Series(segments, index=[f"{i:03d}" for i in range(len(segments))], name="segment", dtype="str")


def test_means_totals_and_shares_by_hand():
    found = segment_value(ltv([10.0] * 6 + [40.0] * 6), members(*["s2"] * 6, *["s1"] * 6), NAMES)
    assert found.table["segment"].tolist() == ["s1", "s2"]
    assert found.table["name"].tolist() == ["Loyal", "New"]
    assert found.table["clv"].tolist() == [40, 10]
    assert found.table["total"].tolist() == [240, 60]
    assert found.table["share"].tolist() == [0.8, 0.2]
    assert found.table["low"].tolist() == pytest.approx([36.4, 9.1])
    assert found.table["total_high"].tolist() == pytest.approx([261.6, 65.4])
    assert found.basis.n == 12


def test_it_says_whether_the_first_is_clear_of_the_second():
    apart = segment_value(ltv([10.0] * 6 + [40.0] * 6), members(*["s2"] * 6, *["s1"] * 6), NAMES)
    assert "A customer of Loyal is worth most" in str(apart.sentences()[0])
    close = segment_value(ltv([39.0] * 6 + [40.0] * 6), members(*["s2"] * 6, *["s1"] * 6), NAMES)
    assert "about the same" in str(close.sentences()[0])


def test_members_without_a_purchase_are_counted_apart():
    found = segment_value(ltv([10.0] * 6), members(*["s1"] * 6, *["s2"] * 7), NAMES)
    assert found.table["segment"].tolist() == ["s1"]
    assert found.without == 7
    assert "7 members" in str(found.sentences()[-1])
    few = segment_value(ltv([10.0] * 6), members(*["s1"] * 6, "s2"), NAMES)
    assert "A few members" in str(few.sentences()[-1])
    assert segment_value(ltv([10.0] * 6), members(*["s1"] * 6), NAMES).sentences() == []


def test_small_segments_are_hidden_on_the_page():
    found = segment_value(ltv([10.0] * 6 + [40.0] * 3), members(*["s2"] * 6, *["s1"] * 3), NAMES)
    page = found._repr_html_()
    assert "&lt; 5" in page
    assert "40.00" not in page
