"""Arms by keyed hash: independent of company, of order and of each other; the right number; refused when undefined."""

import hashlib
import hmac

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, kstest

from crmlab.contract import Refused
from crmlab.trials.assignment import assign_arms, keyed_order, uniforms

KEY = b"sixteen bytes or more of secret"
IDS = [f"{i:05d}" for i in range(20_000)]
ids_lists = st.lists(st.text(min_size=1, max_size=12), unique=True, min_size=1, max_size=40)


@given(ids_lists, st.data())
def test_nobodys_arm_depends_on_who_else_is_there_or_in_which_order(ids, data):
    some = data.draw(st.permutations(ids)).copy()[: data.draw(st.integers(1, len(ids)))]
    whole = assign_arms(ids, shares=0.4, key=KEY, study="a", cycle="1")
    part = assign_arms(some, shares=0.4, key=KEY, study="a", cycle="1")
    assert part.to_dict() == {i: whole[i] for i in some}


@given(ids_lists, st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_only_ever_moves_customers_into_the_control_group(ids, one, other):
    less, more = sorted((one, other))
    few = assign_arms(ids, shares=less, key=KEY, study="a", cycle="1") == "control"
    many = assign_arms(ids, shares=more, key=KEY, study="a", cycle="1") == "control"
    assert not (few & ~many).any()


def test_the_uniform_is_the_first_53_bits_of_the_hmac_of_names_and_customer():
    message = b"arm\x1fstudy\x1f2017-05\x1f00123"
    expected = int.from_bytes(hmac.new(KEY, message, hashlib.sha256).digest()[:8], "big") // 2**11 / 2**53
    assert uniforms(["00123"], KEY, "arm", "study", "2017-05")[0] == expected


def test_uniforms_are_uniform_and_arms_are_independent_of_ties_and_of_other_cycles():
    arm = uniforms(IDS, KEY, "arm", "study", "1")
    others = [keyed_order(IDS, KEY, "study", "1").to_numpy(), uniforms(IDS, KEY, "arm", "study", "2")]
    others.append(uniforms(IDS, KEY[:-1] + b"!", "arm", "study", "1"))
    assert kstest(arm, "uniform").pvalue > 1e-3
    for other in others:
        assert abs(np.corrcoef(arm, other)[0, 1]) < 4 / np.sqrt(len(IDS))


def test_each_stratum_gets_its_share():
    strata = pd.Series(["s1" if i % 2 else "s2" for i in range(len(IDS))], index=IDS)
    arms = assign_arms(IDS, strata=strata, shares={"s1": 0.1, "s2": 0.5}, key=KEY, study="a", cycle="1")
    for stratum, share in {"s1": 0.1, "s2": 0.5}.items():
        withheld = (arms[strata[strata == stratum].index] == "control").sum()
        assert binom.ppf(1e-4, 10_000, share) <= withheld <= binom.ppf(1 - 1e-4, 10_000, share)


def test_nobody_is_withheld_at_share_0_and_everybody_at_share_1():
    assert set(assign_arms(IDS, shares=0, key=KEY, study="a", cycle="1", contacted="mailed")) == {"mailed"}
    assert set(assign_arms(IDS, shares=1.0, key=KEY, study="a", cycle="1")) == {"control"}


def test_the_result_is_sorted_text():
    arms = assign_arms(["b", "a", "00123", "123"], shares=0.5, key=KEY, study="a", cycle="1")
    assert list(arms.index) == ["00123", "123", "a", "b"]
    assert (arms.name, arms.index.name, str(arms.dtype)) == ("arm", "customer_id", "str")


def test_keyed_order_keeps_the_order_of_its_customers():
    assert list(keyed_order(["b", "a"], KEY, "study").index) == ["b", "a"]
    assert len(assign_arms([], shares=0.5, key=KEY, study="a", cycle="1")) == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"key": b"short"}, "16 random bytes"),
        ({"customer_ids": [1, 2]}, "not text"),
        ({"customer_ids": ["a", "a"]}, "named twice: a"),
        ({"shares": 1.5}, "from 0 to 1"),
        ({"shares": {"s1": 0.5}}, "no strata"),
        ({"shares": {"s1": 0.5}, "strata": pd.Series({"a": "s1"})}, "in no stratum, first b"),
        ({"shares": {"s1": 0.5}, "strata": pd.Series({"a": "s1", "b": "s2"})}, "s2"),
    ],
)
def test_what_leaves_an_arm_undefined_is_refused(change, says):
    given_ = {"customer_ids": ["a", "b"], "shares": 0.5, "key": KEY, "study": "a", "cycle": "1"} | change
    with pytest.raises(Refused, match=says):
        assign_arms(given_.pop("customer_ids"), **given_)
