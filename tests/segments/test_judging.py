"""Segmentations held against each other on data: what is recommended, and what no data may break."""

from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd
import pytest

from crmlab.base.orders import orders as orders_of
from crmlab.base.traits import traits as traits_of
from crmlab.contract import generator
from crmlab.segments.candidates import IN_FORCE, JudgingParams, candidates
from crmlab.segments.future import RESPONSE, SPEND
from crmlab.segments.judged import Comparison
from crmlab.segments.judging import compare_segmentations
from crmlab.segments.params import SegmentsParams, SegmentsSpec
from crmlab.segments.start import start
from crmlab.segments.tree import assign, split

AS_OF = date(2024, 12, 31)


def said(found: Comparison) -> str:
    return " ".join(map(str, found.sentences()))


def company(n: int, *, seed: int = 1, spread: float = 1.0, weeks: int = 60, contacts: bool = True) -> dict:
    """Customers whose weekly rate is their own, on and on; coupons go to those who buy much."""
    rng = generator(seed, "company")
    rate = 0.15 * np.exp(spread * rng.standard_normal(n) - spread**2 / 2)
    lines = []
    for i in range(n):
        days = np.flatnonzero(rng.random(weeks * 7) < rate[i] / 7)
        worth = np.round(20 * np.exp(0.5 * spread * rng.standard_normal()) * rng.lognormal(0, 0.3, len(days) + 1), 2)
        start_on = AS_OF - timedelta(weeks=weeks)
        lines += [(f"{i:05d}", start_on + timedelta(days=int(d)), w) for d, w in zip([0, *days], worth, strict=True)]
    tables = {"transactions": dated(pd.DataFrame(lines, columns=["customer_id", "date", "amount"]), "date")}
    if contacts and n:
        people = [f"{i:05d}" for i in range(n)]
        sent = AS_OF - timedelta(weeks=10)
        frame = pd.DataFrame({"customer_id": people, "campaign_id": "c", "arm": "mail", "sent_at": sent})
        tables["contacts"] = dated(frame, "sent_at")
    return tables


def dated(frame: pd.DataFrame, column: str) -> ibis.Table:
    frame = frame.assign(**{column: pd.to_datetime(frame[column])})
    if frame.empty:
        kinds = {c: "date" if c == column else "float64" if c == "amount" else "string" for c in frame}
        return ibis.memtable(frame.astype("object"), schema=ibis.schema(kinds))
    table = ibis.memtable(frame)
    return table.mutate(**{column: table[column].cast("date")})


RULES = {"rfm": SegmentsSpec(by="rfm", min_size=10), "by frequency": SegmentsSpec(by="frequency", bands=3, min_size=10)}


def judged(tables: dict, *, resamples: int = 3, named: dict | None = RULES, in_force=None, **more) -> Comparison:
    described = traits_of(tables, as_of=AS_OF)
    how = {"traits": described, "window_days": 28, "seed": 1, "in_force": in_force, **more}
    judging = JudgingParams(resamples=resamples, candidates=named)
    return compare_segmentations(tables, as_of=AS_OF, params=judging, segments=SegmentsParams(min_size=10), **how)


@pytest.fixture(scope="module")
def shop():
    tables = company(250)
    tree = start(traits_of(tables, as_of=AS_OF), SegmentsParams(min_size=10)).tree
    return judged(tables, in_force=tree)


def test_customers_who_differ_are_told_apart_and_one_segmentation_is_recommended(shop):
    assert list(shop.table["candidate"]) == ["rfm", "by frequency"]
    assert shop.row("rfm")["in_force"]
    assert shop.weeks == 26
    assert shop.explained.basis.n == 250
    assert shop.row("rfm")["share"] > 0.1
    assert shop.recommended() is not None
    assert {SPEND, RESPONSE} <= set(shop.explained.table["outcome"])
    assert shop.row("rfm")["sure"] == 1
    assert not shop.row("rfm")["modelled"]
    for result in (shop, shop.explained, shop.stability, shop.stability.agreement):
        assert "<table>" in result._repr_html_()
        assert result.sentences()


def test_customers_who_are_all_of_one_kind_give_nothing_worth_having():
    found = judged(company(200, spread=0.0, contacts=False), resamples=2)
    assert found.recommended() is None
    assert str(found.sentences()[0]).startswith(("None of these", "No segmentation holds"))


def test_a_tree_grown_on_answers_says_that_it_is_flattered():
    tables = company(100)
    found = traits_of(tables, as_of=AS_OF)
    tree = start(found, SegmentsParams()).tree
    grown = split(tree, "s2", [{"trait": "monetary", "at_least": 500}], evidence={"p": 0.01})
    whole = {"in_force": grown, "traits": found, "then": None, "seed": 1, "clv": None}
    made = candidates(SegmentsParams(by="frequency"), RULES, **whole)
    assert made[0].key == IN_FORCE
    assert made[0].learnt_from_answers()
    assert not any(c.learnt_from_answers() for c in made[1:])


@pytest.mark.parametrize("n", [0, 1, 10])
def test_of_nobody_of_one_and_of_ten_customers_a_page_is_made_that_recommends_nothing(n):
    found = judged(company(n), resamples=2)
    assert found.recommended() is None
    assert "nothing that customers did later tells them apart" in said(found)
    assert found._repr_html_()
    assert "resamples could be drawn" in found.stability._repr_html_() or n


def test_identical_customers_are_one_segment_and_one_whale_does_not_decide():
    lines = [(f"{i:05d}", AS_OF - timedelta(weeks=w), 10.0) for i in range(60) for w in (60, 40, 20, 2)]
    frame = pd.DataFrame(lines, columns=["customer_id", "date", "amount"])
    found = judged({"transactions": dated(frame, "date")}, resamples=2)
    assert found.recommended() is None
    assert found.explained.headline_outcome() is None
    whale = frame.assign(
        amount=np.where((frame["customer_id"] == "00007") & (frame["date"] > AS_OF - timedelta(21)), 1e9, 10.0)
    )
    found = judged({"transactions": dated(whale, "date")}, resamples=2)
    assert found.recommended() is None


def test_only_those_known_on_the_day_are_judged_and_nothing_later_is_seen():
    tables = company(100, contacts=False)
    frame = tables["transactions"].to_pandas()
    late = frame[frame["customer_id"] < "00030"].assign(customer_id=lambda f: "z" + f["customer_id"])
    late["date"] = pd.to_datetime(AS_OF)
    both = {"transactions": dated(pd.concat([frame, late]), "date")}
    plain, found = judged(tables, resamples=2), judged(both, resamples=2)
    assert found.explained.basis.n == plain.explained.basis.n == 100
    rfm = [c.explained.table.set_index(["candidate", "outcome"]).loc[("rfm", SPEND), "share"] for c in (plain, found)]
    assert rfm[0] == pytest.approx(rfm[1], abs=1e-12)


def test_a_list_of_people_and_contacts_alone_is_judged_by_its_responses():
    rng, n = generator(5, "list"), 900
    job = rng.choice(["clerk", "retired", "student"], n, p=[0.6, 0.2, 0.2])
    people = [f"{i:05d}" for i in range(n)]
    sent = [AS_OF - timedelta(days=int(d)) for d in rng.integers(5, 400, n)]
    replied = rng.random(n) < np.where(job == "student", 0.5, 0.05)
    contacts = pd.DataFrame({"customer_id": people, "campaign_id": "calls", "arm": "phone", "sent_at": sent})
    outcomes = pd.DataFrame({"customer_id": people, "campaign_id": "calls", "date": sent, "response": 1})[replied]
    tables = {
        "customers": ibis.memtable(pd.DataFrame({"customer_id": people, "job": job})),
        "contacts": dated(contacts, "sent_at"),
        "outcomes": dated(outcomes, "date"),
    }
    found = judged(tables, resamples=2, named=RULES | {"by job": SegmentsSpec(by="job", min_size=10)})
    assert found.explained.headline_outcome() == RESPONSE
    assert found.row("by job")["share"] > 0.1
    assert "response to contacts" in str(found.explained.sentences()[0])
    assert found.recommended() == "by job"


def test_the_four_that_are_compared_by_default_are_made_of_the_studys_own_sizes_in_one_search_for_classes():
    tables = company(60, contacts=False)
    found = judged(tables, resamples=2, named=None)
    assert list(found.table["candidate"]) == ["rfm", "value", "mixture", "kmeans"]
    described = traits_of(tables, as_of=AS_OF)
    own = start(described, SegmentsParams(by="kmeans", min_size=10), seed=1).tree
    nothing = {"in_force": own, "traits": described, "then": None, "seed": 1, "clv": None}
    made = candidates(SegmentsParams(min_size=10), {k: SegmentsSpec(by=k) for k in ("mixture", "kmeans")}, **nothing)
    assert next(c for c in made if c.key == "kmeans").tree == own, "as if it had been sought by itself"


def test_reach_is_that_of_the_least_reachable_segment():
    tables = company(100, contacts=False)
    described = traits_of(tables, as_of=AS_OF)
    tree = start(described, SegmentsParams(by="frequency", bands=2, min_size=10)).tree
    membership = assign(tree, described.table)
    allowed = pd.Series(True, index=membership.index).mask(membership == "s1", False)
    allowed.iloc[np.flatnonzero(membership == "s1")[:3]] = True
    how = {"traits": described, "window_days": 28, "seed": 1, "params": JudgingParams(resamples=2, candidates=RULES)}
    more = {"in_force": tree, "segments": SegmentsParams(by="frequency", bands=2, min_size=10), "reachable": allowed}
    found = compare_segmentations(tables, orders_of(tables["transactions"]), as_of=AS_OF, **how, **more)
    row = found.row(IN_FORCE)
    assert row["reach"] == pytest.approx(3 / (membership == "s1").sum())
    assert found.reachable == pytest.approx(allowed.mean())
