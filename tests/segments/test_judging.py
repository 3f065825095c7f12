"""Segmentations side by side: which is recommended and why, each sentence both ways, and what no data may break."""

from datetime import date, timedelta
from types import SimpleNamespace

import ibis
import numpy as np
import pandas as pd
import pytest

from crmlab.base.orders import orders as orders_of
from crmlab.base.traits import Traits
from crmlab.base.traits import traits as traits_of
from crmlab.contract import Basis, Fault, Refused, generator
from crmlab.segments.again import remade
from crmlab.segments.agreement import Agreement
from crmlab.segments.branches import class_rules
from crmlab.segments.candidates import IN_FORCE, Candidate, JudgingParams, candidates
from crmlab.segments.explained import explained
from crmlab.segments.future import RESPONSE, SPEND
from crmlab.segments.judged import Comparison, verdicts
from crmlab.segments.judging import compare_segmentations
from crmlab.segments.mixture.em import fit
from crmlab.segments.mixture.model import KMeansModel, MixtureModel
from crmlab.segments.mixture.scale import fitted_scale
from crmlab.segments.mixture.suited import rows_of
from crmlab.segments.models import as_plain, named
from crmlab.segments.nodes import Node, Tree
from crmlab.segments.params import SegmentsParams, SegmentsSpec
from crmlab.segments.stability import Stability, stability
from crmlab.segments.start import start
from crmlab.segments.tree import assign, split

N = 2_000
BASIS = Basis(N, "customers")
AS_OF = date(2024, 12, 31)


def ids(n: int = N) -> pd.Index:
    return pd.Index([f"{i:05d}" for i in range(n)], dtype="str", name="customer_id")


@pytest.fixture(scope="module")
def told():
    """`true` has four groups; `blurred` loses most of them, `coarse` half, `nearly` hardly any, `noise` all."""
    rng = generator(1, "told")
    group = rng.integers(0, 4, N)
    segments = {
        "true": group,
        "nearly": np.where(np.arange(N) < 4, 0, group),
        "coarse": group // 2,
        "blurred": np.where(rng.random(N) < 0.7, rng.integers(0, 4, N), group),
        "noise": rng.integers(0, 4, N),
    }
    outcomes = pd.DataFrame({SPEND: group + rng.standard_normal(N)}, index=ids())
    outcomes[RESPONSE] = np.where(segments["coarse"] > 0, 1.0, 0.0) + 3 * (segments["noise"] > 2)
    return SimpleNamespace(segments=segments, outcomes=outcomes)


def compared(told, rows: dict[str, dict], outcomes: list[str] | None = None, **more) -> Comparison:
    """A comparison of the named segmentations; `rows` says what is special of each."""
    members = {k: pd.Series(told.segments[k], ids()).map(lambda s: f"s{s + 1}").astype("str") for k in rows}
    frame = told.outcomes[outcomes or [SPEND]]
    found = explained(members, frame, labels={k: k for k in rows}, seed=1, basis=BASIS)
    by = found.table[found.table["outcome"] == (found.headline_outcome() or SPEND)].set_index("candidate")
    plain = {"in_force": False, "segments": 4, "smallest": 300, "traits": 3, "modelled": False, "sure": 1.0}
    plain |= {"reach": np.nan, "reach_name": None, "dissolved": 0, "weakest": 0.9, "ari": 0.9}
    table = pd.DataFrame(
        [{"candidate": k, "label": k, **plain, **by.loc[k, ["share", "low", "high"]], **row} for k, row in rows.items()]
    )
    segments = [
        (k, k, "s1", f"{k} one", 300, 0.4, 0.3, 0.5, "dissolved") for k, r in rows.items() if r.get("dissolved")
    ]
    columns = ["candidate", "label", "segment", "name", "customers", "jaccard", "low", "high", "state"]
    stable = Stability(pd.DataFrame(segments, columns=columns), BASIS, Agreement(pd.DataFrame(), BASIS), 20)
    table = table.assign(verdict=verdicts(table, found))
    return Comparison(table, BASIS, found, stable, **{"weeks": 26, "wanted": 26, **more})


def said(found: Comparison) -> str:
    return " ".join(map(str, found.sentences()))


def test_the_simplest_that_is_not_clearly_worse_is_used_and_the_reason_is_said(told):
    found = compared(
        told, {"true": {"traits": 12, "modelled": True}, "nearly": {"traits": 3}, "blurred": {"traits": 1}}
    )
    assert found.recommended() == "nearly"
    assert "Use “nearly”: it is the simplest (traits to know: 3, segments: 4)" in said(found)
    assert "“true” explains" in said(found)
    assert found.table.set_index("candidate")["verdict"].to_dict() == {
        "true": "not clearly worse, less simple",
        "nearly": "use this",
        "blurred": "explains less",
    }


def test_the_best_is_used_where_nothing_simpler_does_as_well(told):
    found = compared(told, {"true": {"traits": 12, "modelled": True}, "blurred": {"traits": 1}})
    assert found.recommended() == "true"
    assert "Use “true”: of the segmentations none of whose segments dissolves it explains most" in said(found)


def test_of_two_that_explain_the_same_rules_come_before_models_then_traits_then_segments(told):
    alike = {"true": {"traits": 2, "modelled": True}, "nearly": {"traits": 5}}
    assert compared(told, alike).recommended() == "nearly"
    alike = {"true": {"traits": 5}, "nearly": {"traits": 2}}
    assert compared(told, alike).recommended() == "nearly"
    alike = {"true": {"segments": 6}, "nearly": {"segments": 4}}
    assert compared(told, alike).recommended() == "nearly"
    alike = {"true": {}, "nearly": {}}
    assert compared(told, alike).recommended() == "true", "alike in all, the first"


def test_what_dissolves_is_not_used_however_much_it_explains_and_is_named(told):
    found = compared(told, {"true": {"dissolved": 1}, "blurred": {}})
    assert found.recommended() == "blurred"
    assert "“true”: true one: no segments, for a resample of the customers dissolves them." in said(found)
    assert "dissolves them" not in said(compared(told, {"true": {}, "blurred": {}}))
    none = compared(told, {"true": {"dissolved": 1}, "blurred": {"segments": 1}})
    assert none.recommended() is None
    assert str(none.sentences()[0]).startswith("No segmentation holds")
    assert "“blurred” finds nothing that parts the customers" in said(none)


def test_none_is_worth_having_where_nothing_explains_anything(told):
    found = compared(told, {"noise": {}})
    assert found.recommended() is None
    assert str(found.sentences()[0]).startswith(
        "None of these segmentations is worth having: the best that holds, “noise”"
    )
    assert set(found.table["verdict"]) == {"explains nothing worth having"}


def test_what_is_in_force_is_held_against_what_is_recommended(told):
    same = compared(told, {"true": {"in_force": True}, "blurred": {}})
    assert "It is the one in force." in said(same)
    more = compared(told, {"true": {}, "blurred": {"in_force": True}})
    assert "more than what is in force, “blurred”, explains" in said(more)
    lost = compared(told, {"true": {"in_force": True, "dissolved": 1}, "blurred": {}})
    assert "What is in force, “true”, explains" in said(lost)
    assert "but does not hold" in said(lost)
    level = compared(told, {"true": {"in_force": True, "traits": 9}, "nearly": {}})
    assert "a matter of simplicity" in said(level)


def test_who_answers_is_another_question_than_who_spends(told):
    both = [SPEND, RESPONSE]
    found = compared(told, {"true": {}, "noise": {}}, both)
    assert found.recommended() == "true"
    assert "Who answers contacts is told better by “noise”" in said(found)
    assert "For who answers contacts, too" in said(compared(told, {"true": {}, "blurred": {}}, both))
    alone = compared(told, {"true": {}, "noise": {}}, [RESPONSE])
    assert alone.recommended() == "noise"
    assert "response to contacts" in str(alone.sentences()[0])


def test_fewer_weeks_missing_candidates_past_answers_and_reach_are_said_and_else_not(told):
    plain = said(compared(told, {"true": {}, "noise": {}}))
    why = Refused("segments", [Fault("segments.by", "'r_score': no such trait")])
    more = {"weeks": 9, "left_out": (("RFM", why),), "learnt": ("true",), "reachable": 0.8}
    row = {"reach": 0.7, "reach_name": "one"}
    found = said(compared(told, {"true": row, "noise": {}}, **more))
    for text in ("9 weeks were withheld, not 26", "“RFM” cannot be made here: 'r_score'", "its figures flatter it"):
        assert text in found
        assert text not in plain
    assert "In each of its segments customers may be contacted: 70% or more (of all 80%)." in found
    few = said(compared(told, {"true": {"reach": 0.1, "reach_name": "one"}, "noise": {}}, **more))
    assert "Few of “one” may be contacted: 10%, of all customers 80%." in few
    assert "contacted" not in plain


def test_a_page_hides_how_few_the_smallest_holds(told):
    html = compared(told, {"true": {"smallest": 3}, "noise": {"smallest": 1_234}})._repr_html_()
    assert "&lt; 5" in html
    assert "1,234" in html


# On data


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


@pytest.mark.parametrize("kind", ["mixture", "kmeans"])
def test_planted_classes_come_again_and_structure_that_is_not_there_dissolves(kind):
    rng, n = generator(8, "planted"), 300
    group = rng.integers(0, 3, n)
    names = [f"t{j}" for j in range(4)]
    middle = generator(9, "middles").normal(0, 6, (3, 4))

    def of(values: np.ndarray) -> Traits:
        table = pd.DataFrame(values, columns=names).assign(customer_id=[f"{i:04d}" for i in range(n)])
        catalogue = pd.DataFrame({"name": names, "kind": "number", "source": "t", "sensitive": False})
        return Traits(table, Basis(n, "customers"), catalogue)

    def stable(traits: Traits, planted: np.ndarray) -> Stability:
        """A tree of three classes whose models are fitted to the planted groups, made anew in resamples."""
        scales = {t: fitted_scale(traits.table[t].to_numpy()) for t in names}
        rows = rows_of(traits.table, tuple(names), tuple(scales.values()), (), ())
        hot = np.eye(3)[planted]
        model = MixtureModel.of(fit(rows, hot, "diagonal"), scales, {})
        if kind == "kmeans":
            model = KMeansModel.of(hot.T @ rows.numbers / hot.sum(0)[:, None], hot.mean(0), scales)
        nodes = [
            Node(id=f"s{i + 1}", name=f"{i}", when=when) for i, (_, when) in enumerate(class_rules(named(model), 3))
        ]
        tree = Tree(next_id=5, nodes=tuple(nodes), models={named(model): as_plain(model.plain())})
        c = Candidate(kind, kind, SegmentsSpec(by=kind), tree)
        anew = lambda c, t, name: remade(c.tree, c.spec, t, name, seed=1, clv=None)  # noqa: E731
        return stability([c], traits, None, remade=anew, resamples=6, scores=5, seed=1)

    found = stable(of(middle[group] + rng.standard_normal((n, 4))), group)
    assert set(found.table["state"]) == {"stable"}
    assert found.agreement.table["ari"].min() > 0.95
    cloud = stable(of(rng.standard_normal((n, 4))), rng.integers(0, 3, n))
    assert cloud.table["jaccard"].min() < 0.75


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
