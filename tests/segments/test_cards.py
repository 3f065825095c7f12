"""Profile cards: sentences that say either thing, nothing of fewer than five, every part may be missing."""

from datetime import date
from types import SimpleNamespace

import ibis
import numpy as np
import pandas as pd
import pytest

from crmlab.base.orders import orders
from crmlab.contract import Basis, generator
from crmlab.segments.answered import answered
from crmlab.segments.cards import Cards, cards
from crmlab.segments.figures import figures, tenths
from crmlab.segments.flows import flows
from crmlab.segments.mix import mixes
from crmlab.segments.nodes import Tree
from crmlab.segments.profile import profile

AS_OF = date(2024, 6, 30)
NAMES = {"s1": "Gold", "s2": "Silver", "s3": "Few"}


def company(n: int = 400, *, few: int = 0, same: bool = False, seed: int = 1) -> dict:
    """Gold (a quarter) buys wine on Mondays, is worth more, answers more, and was Silver; Silver is the rest."""
    rng = generator(seed, "cards")
    people = [f"{i:04d}" for i in range(n)]
    gold = (np.arange(n) < n // 4) & (not same)
    segment = np.where(np.arange(n) < n // 4, "s1", "s2")
    segment[n - few :] = "s3"
    membership = pd.Series(segment, index=people)
    wine, monday = np.where(gold, 0.8, 0.3), np.where(gold, 0.7, 1 / 3)
    rows = [
        (c, f"2024-06-0{4 - (rng.random() < monday[i])}", 10.0, "wine" if rng.random() < wine[i] else "bread")
        for i, c in enumerate(people) for _ in range(8)
    ]  # fmt: skip
    lines = ibis.memtable(pd.DataFrame(rows, columns=["customer_id", "date", "amount", "category"]))
    lines = lines.mutate(date=lines.date.cast("date"), amount=lines.amount.cast("decimal(18, 4)"))
    spread = np.zeros(n) if same else rng.normal(size=n)
    table = pd.DataFrame({"customer_id": people, "frequency": 8, "monetary": 80.0, "visits": spread + 2.0 * gold})
    catalogue = pd.DataFrame({"name": table.columns[1:], "kind": "number", "source": "transactions"})
    catalogue = catalogue.assign(sensitive=False, meaning=["orders so far", "spend", "visits to the shop"])
    traits = SimpleNamespace(table=table, catalogue=catalogue, basis=Basis(n, "customers", end=AS_OF))
    value = pd.DataFrame({"customer_id": people, "clv": 10.0 if same else np.exp(rng.normal(3 + 1.5 * gold))})
    alive = np.where(gold, 0.95, 0.6)
    value = value.assign(p_alive=alive, p_alive_low=alive - 0.02, p_alive_high=alive + 0.02)
    sizes = [n, n // 4, n - n // 4]
    timing = pd.DataFrame({"segment": ["all", "s1", "s2"], "customers": sizes, "judged": sizes})
    timing = timing.assign(median=[9.0, 5, 11], low=[8.0, 4, 10], high=[10.0, 6, 12])
    timing = timing.assign(overdue=[0.2, 0.05, 0.25], overdue_low=[0.18, 0.03, 0.23], overdue_high=[0.22, 0.08, 0.28])
    yes = (rng.random(n) < np.where(gold, 0.5, 0.1)).astype(int)
    sent = pd.DataFrame(
        {"customer_id": people, "campaign_id": "7", "arm": "mailed", "sent_at": pd.Timestamp("2024-05-01")}
    )
    return {"membership": membership, "lines": lines, "traits": traits, "value": value, "timing": timing,
            "answers": sent.assign(response=yes, segment=segment)}  # fmt: skip


def told(c: dict, *, was: pd.Series | None = None, permitted: dict | None = None, tree: Tree | None = None) -> Cards:
    people, tables = c["membership"], {"transactions": c["lines"]}
    return cards(
        profile(people, c["traits"], names=NAMES, value=c["value"]),
        figures(people, c["traits"].table, value=c["value"], timing=c["timing"], permitted=permitted),
        tenths(c["value"], people),
        bought=mixes(tables, orders(c["lines"]), people, as_of=AS_OF),
        tried=answered(c["answers"], NAMES),
        moved=flows(people.head(0) if was is None else was, people, NAMES),
        tree=tree,
    )


def said(card) -> str:
    return " ".join(map(str, card.sentences()))


@pytest.fixture(scope="module")
def result() -> Cards:
    c = company()
    was = c["membership"].copy()
    was.iloc[:50] = "s2"
    return told(c, was=was, permitted={"email": pd.Index(c["membership"].index[:40]), "sms": pd.Index([])})


def test_a_card_says_who_they_are_and_the_other_card_the_opposite(result):
    gold, silver = said(result.card("Gold")), said(result.card("Silver"))
    assert "visits to the shop (far above)" in gold
    assert "visits to the shop (somewhat below)" in silver
    assert "more of their money than others on wine (×1." in gold
    assert "less on bread" in gold
    assert "more of their money than others on bread" in silver
    assert "They buy more than others on Monday" in gold
    assert "They buy more than others on Tuesday" in silver


def test_value_risk_consent_answers_and_moves_are_told_either_way(result):
    gold, silver = said(result.card("Gold")), said(result.card("Silver"))
    assert "100 customers, 25% of all, with " in gold
    assert "are among the most valuable tenth of all" in gold
    assert "still customers with probability 95% [93%, 97%]; all: 69%." in gold
    assert "Only 5% [3%, 8%] are overdue" in gold
    assert "Of those who can be judged 25% [23%, 28%] are overdue" in silver
    assert "They permit contact through: email 40%, sms 0%." in gold
    assert "None of them has permitted contact" in silver
    assert "times [" in gold.split("contacts")[1]
    assert "as often as by all customers of the same campaigns" in gold
    assert "less often than by all customers" in silver
    assert "50% of them were here in the last cycle; of the others most: Silver (50%)." in gold
    assert "Of those here in the last cycle 86% stayed; of the others most are now: Gold (14%)." in silver


def test_where_nobody_differs_each_part_says_so():
    one = told(company(same=True)).card("s1")
    words = said(one)
    assert "differ from all customers in nothing that is sure" in words
    assert "No category stands out" in words
    assert "No weekday stands out" in words
    assert one.tenths.empty
    assert "No segment holds much more than its share" in " ".join(map(str, told(company(same=True)).sentences()))


def test_the_overview_is_by_share_of_value_and_names_what_stands_out(result):
    assert result.table["name"].tolist() == ["Silver", "Gold"] or result.table["value_share"].is_monotonic_decreasing
    shown = result.shown()
    assert shown["stands_out"].str.startswith("visits to the shop (").all()
    assert shown["overdue_said"].tolist()[list(shown["name"]).index("Gold")] == "5% [3%, 8%]"
    words = " ".join(map(str, result.sentences()))
    assert "Most often overdue: “Silver” (25% of them)." in words
    assert "first cycle" not in words
    assert "first cycle" in " ".join(map(str, told(company()).sentences()))


def test_fewer_than_five_get_no_card_and_cannot_be_worked_out():
    c = company(few=3)
    found = told(c)
    assert [one.name for one in found.cards if one.name == "Few"] == []
    assert "Too few for a card (fewer than five customers): Few." in " ".join(map(str, found.sentences()))
    gold = found.card("Gold")
    assert gold.rounded
    assert "rounded to tens" in said(gold)
    counts = found.shown()["customers"].tolist()
    assert sorted(counts) == [100, 297], "the smallest card is to the next ten"
    html = found._repr_html_()
    assert ">3<" not in html


def test_few_say_that_little_can_be_learned_and_rare_answers_and_permits_are_not_counted():
    c = company(60)
    c["answers"]["response"] = (np.arange(60) < 2).astype(int)
    gold = told(c, permitted={"email": pd.Index(["0000", "0001"])}).card("Gold")
    assert "Fewer than 50 customers: little can be learned of them." in said(gold)
    assert "Of 15 contacts fewer than five were answered." in said(gold)
    assert "email" not in said(gold)
    assert "fewer than five" in gold._repr_html_()
    assert "little can be learned" not in said(told(company()).card("Gold"))


def test_everybody_in_one_segment_is_compared_with_nobody():
    c = company(same=True)
    c["membership"][:] = "s1"
    one = told(c).card("s1")
    assert one.alone
    assert "there is nobody to compare them with" in said(one)
    assert "overdue" not in said(one)


def test_without_value_categories_or_campaigns_one_line_says_so():
    c = company()
    c["value"], c["answers"] = pd.DataFrame({"model": ["x"]}), c["answers"].head(0)
    c["lines"] = c["lines"].drop("category")
    found = told(c)
    words = " ".join(map(str, found.sentences()))
    for missing in (
        "what they are worth is not shown",
        "no categories",
        "nothing is known of how they answer",
        "No consent",
    ):
        assert missing in words
    assert "all spend" in said(found.card("Gold"))
    assert "contacts" not in said(found.card("Gold"))
    assert "category" not in found.card("Gold").parts


@pytest.mark.parametrize("n", [0, 1, 10])
def test_nobody_one_and_ten_customers_make_no_fault(n):
    c = company(max(n, 1), same=True)
    for name in ("membership", "answers", "value"):
        c[name] = c[name].head(n)
    c["traits"].table = c["traits"].table.head(n)
    found = told(c)
    assert len(found.cards) <= 2
    assert found._repr_html_()
    assert all(one._repr_html_() for one in found.cards)


def test_with_a_risk_of_leaving_that_is_told_instead():
    c, keys = company(), ["segment", "figure", "value", "low", "high", "base"]
    found = told(c)
    risks = pd.DataFrame([("s1", "risk", 0.05, 0.03, 0.08, 0.3), ("s2", "risk", 0.4, 0.35, 0.45, 0.3)], columns=keys)
    people = c["membership"]
    by_risk = cards(
        profile(people, c["traits"], names=NAMES, value=c["value"]),
        pd.concat([found.figures, risks]),
        tenths(c["value"], people),
        bought=mixes({"transactions": c["lines"]}, orders(c["lines"]), people, as_of=AS_OF),
        tried=answered(c["answers"], NAMES),
        moved=flows(people.head(0), people, NAMES),
    )
    assert "5% [3%, 8%] are expected not to buy within the horizon; all: 30%." in said(by_risk.card("Gold"))
    assert [s.tone for s in by_risk.card("Silver").sentences() if "expected not to buy" in str(s)] == ["warn"]
    assert "still customers" not in said(by_risk.card("Gold"))


def test_the_rule_of_a_card_is_in_words_not_in_names_of_columns():
    c = company()
    tree = Tree.model_validate(
        {"next_id": 3, "nodes": [
            {"id": "s1", "name": "Gold", "when": [{"trait": "frequency", "at_least": 9}]},
            {"id": "s2", "name": "Silver", "when": []},
        ]}
    )  # fmt: skip
    assert {card.name: card.rule for card in told(c, tree=tree).cards} == {
        "Gold": "orders so far at least 9", "Silver": "orders so far below 9",
    }  # fmt: skip
