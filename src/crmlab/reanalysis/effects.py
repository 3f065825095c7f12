"""What contact added: contacted minus control, by segment, and whether segments differ in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from crmlab.base.responses import CONTROL
from crmlab.contract import Basis, Params, Refused, Result, Sentence, mark, say
from crmlab.reanalysis.meta import synthesis
from crmlab.reanalysis.uplift import Difference, difference

ALL = "all"
"""The `segment` of rows that take all customers together."""

RANDOMISED, OBSERVATIONAL = "randomised", "observational"

OUTCOMES = {
    "response": mark("response, points"),
    "spend": mark("spend"),
    "orders": mark("orders"),
    "margin": mark("margin"),
}
PHRASES = {
    "response": mark("the response rate"),
    "spend": mark("spend a customer"),
    "orders": mark("orders a customer"),
    "margin": mark("margin a customer"),
}


class EffectParams(Params):
    """How effects are read."""

    arm: str | None = None
    """Arm compared with the control group; none: all contacted arms together."""
    outcomes: tuple[Literal["response", "spend", "orders", "margin"], ...] = ("response", "spend", "orders")
    """What is compared; the first is the primary outcome."""
    interval: float = Field(default=0.90, gt=0.5, lt=1)
    """Coverage of intervals."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Size of tests."""
    power: float = Field(default=0.80, gt=0.5, lt=1)
    """Power at which minimum detectable effects are stated."""
    fewest: int = Field(default=20, ge=2)
    """Customers in each arm without whom a segment does not enter the test of differing effects."""
    permutations: int = Field(default=1499, ge=99)
    """Resamplings of the test for effects that go with a trait."""


COLUMNS = (
    "outcome", "segment", "name", "treated", "control", "treated_mean", "control_mean", "uplift", "se", "low", "high",
    "p", "mde",
)  # fmt: skip
BETWEEN = (
    "outcome", "segments", "q", "df", "p", "i2", "tau", "tau_low", "tau_high", "mu", "low", "high", "predicted_low",
    "predicted_high",
)  # fmt: skip


@dataclass(frozen=True)
class Differing(Result):
    """Whether effects differ between segments.

    table: one row an outcome: segments, Cochran's q with df and p, i2, tau (sd of the true effects, REML) with its
    Q-profile limits, mu (mean of the true effects) with its interval, prediction interval of one more segment.
    """

    table: pd.DataFrame
    basis: Basis
    params: EffectParams

    title: ClassVar[str] = "Do effects differ between segments?"
    note: ClassVar[str] = (
        "Q asks whether segments' effects differ at all. The spread is the standard deviation of the true effects; "
        "the expected range is where the effect of one more segment would lie."
    )
    columns: ClassVar[dict[str, tuple[str, str]]] = {
        "label": ("Outcome", "word"),
        "segments": ("Segments", ",.0f"),
        "q": ("Q", ",.1f"),
        "p": ("p", ".2g"),
        "i2": ("Not sampling error (I²)", ".0%"),
        "tau": ("Spread of effects", ",.2f"),
        "tau_low": ("Spread, low", ",.2f"),
        "tau_high": ("Spread, high", ",.2f"),
        "mu": ("Mean effect", "+,.2f"),
        "low": ("Low", "+,.2f"),
        "high": ("High", "+,.2f"),
        "predicted_low": ("Expected range, low", "+,.2f"),
        "predicted_high": ("Expected range, high", "+,.2f"),
    }
    people: ClassVar[tuple[str, ...]] = ()

    def shown(self) -> pd.DataFrame:
        """Responses in points, money and orders as they are."""
        out = self.table.copy()
        points = out["outcome"] == "response"
        scaled = [c for c in BETWEEN[6:] if c in out]
        out.loc[points, scaled] *= 100
        return out.assign(label=out["outcome"].map(OUTCOMES))

    def sentences(self) -> list[Sentence]:
        """Whether effects differ, for the primary outcome."""
        if self.table.empty:
            return [Sentence("Fewer than two segments have both arms: effects cannot be compared between segments.")]
        row = self.shown().iloc[0]
        values = {c: row[c] for c in ("segments", "q", "p")} | {"level": self.params.interval}
        values |= {c: amount(row["outcome"], self.table.iloc[0][c]) for c in ("tau", "tau_low", "tau_high")}
        values["outcome"] = Sentence(PHRASES[row["outcome"]])
        if row["p"] < self.params.alpha:
            return [
                Sentence(
                    "Effects on {outcome} differ between the {segments:.0f} segments (Q = {q:.1f}, p = {p:.2g}): the "
                    "true effects spread with a standard deviation of {tau} ({level:.0%} interval {tau_low} "
                    "to {tau_high}).",
                    values,
                    tone="good",
                )
            ]
        return [
            Sentence(
                "Effects on {outcome} are not shown to differ between the {segments:.0f} segments (Q = {q:.1f}, "
                "p = {p:.2g}). That is not equality: a standard deviation of the true effects up to {tau_high} "
                "is compatible with these data ({level:.0%} interval).",
                values,
                tone="warn",
            )
        ]


@dataclass(frozen=True)
class Effects(Result):
    """Uplift by segment and overall.

    table: outcome, segment (``all``: overall), name, treated, control, treated_mean, control_mean, uplift, se, low,
    high, p, mde. Empty where nothing is identified. arms: the same overall for every contacted arm, column arm.
    """

    table: pd.DataFrame
    basis: Basis
    params: EffectParams
    arms: pd.DataFrame
    between: Differing
    identified: bool
    described: pd.DataFrame
    unplaced: int = 0
    left_out: int = 0

    title: ClassVar[str] = "What contact added"
    note: ClassVar[str] = (
        "Uplift is the mean of the contacted minus that of the control group; response in percentage points, spend "
        "and orders a customer. MDE is the smallest true uplift of the response this comparison would have found."
    )
    columns: ClassVar[dict[str, tuple[str, str]]] = {
        "name": ("Segment", ""),
        "treated": ("Contacted", ",.0f"),
        "control": ("Control", ",.0f"),
        "mde": ("MDE, points", ",.1f"),
        "treated_mean": ("Response, contacted", ".1%"),
        "control_mean": ("Response, control", ".1%"),
        "uplift": ("Uplift, points", "+,.1f"),
        "low": ("Low", "+,.1f"),
        "high": ("High", "+,.1f"),
        "spend": ("Uplift of spend", "+,.2f"),
        "spend_low": ("Spend, low", "+,.2f"),
        "spend_high": ("Spend, high", "+,.2f"),
        "orders": ("Uplift of orders", "+,.3f"),
        "orders_low": ("Orders, low", "+,.3f"),
        "orders_high": ("Orders, high", "+,.3f"),
        "margin": ("Uplift of margin", "+,.2f"),
        "margin_low": ("Margin, low", "+,.2f"),
        "margin_high": ("Margin, high", "+,.2f"),
    }
    people: ClassVar[tuple[str, ...]] = ("treated", "control")

    def shown(self) -> pd.DataFrame:
        """One row a segment and the overall row last; without a control group, responses only."""
        frame = self.table if self.identified else self.described
        wide = frame[frame["outcome"] == "response"].drop(columns="outcome").set_index("segment")
        if self.identified:
            for outcome in self.params.outcomes:
                part = frame[frame["outcome"] == outcome].set_index("segment")
                if outcome != "response":
                    new = {"uplift": outcome, "low": f"{outcome}_low", "high": f"{outcome}_high"}
                    wide = wide.join(part[list(new)].rename(columns=new), how="outer")
                    for column in ("name", "treated", "control"):
                        wide[column] = part[column] if column not in wide else wide[column].combine_first(part[column])
            wide[["uplift", "low", "high", "mde"]] *= 100
        everybody = wide.index == ALL
        wide = pd.concat([wide[~everybody], wide[everybody]])
        wide["name"] = [say("All customers") if s == ALL else n for s, n in zip(wide.index, wide["name"], strict=True)]
        return wide.reset_index()

    def sentences(self) -> list[Sentence]:
        """What contact added on the whole, by arm, and what could not be compared."""
        if not self.identified:
            return [
                Sentence(
                    "What contact added is not identified: nobody was withheld at random. The responses shown are "
                    "those of the contacted; no uplift is computed from them.",
                    tone="warn",
                )
            ]
        out = [self._overall(self.table[self.table["segment"] == ALL].iloc[0])]
        if len(set(self.arms["arm"])) > 1:
            primary = self.arms[self.arms["outcome"] == self.params.outcomes[0]]
            out += [
                Sentence(
                    "Arm {arm} against control: {uplift} ({low} to {high}) on {outcome}.", _told(row, arm=row["arm"])
                )
                for row in primary.to_dict("records")
            ]
        if self.unplaced:
            out.append(
                Sentence(
                    "{n:,} contacts of customers without a segment are left out.", {"n": self.unplaced}, tone="warn"
                )
            )
        if self.left_out:
            out.append(
                Sentence(
                    "{n:,} contacts lie in groups without two customers in each arm and are left out of the overall "
                    "figures.",
                    {"n": self.left_out},
                    tone="warn",
                )
            )
        return out

    def _overall(self, row: pd.Series) -> Sentence:
        values = _told(row, level=self.params.interval)
        if row["low"] > 0:
            return Sentence(
                "Contact raised {outcome} by {uplift} ({level:.0%} interval {low} to {high}).",
                values,
                tone="good",
            )
        if row["high"] < 0:
            return Sentence(
                "Contact lowered {outcome} by {fall} ({level:.0%} interval {low} to {high}).",
                values | {"fall": amount(row["outcome"], -row["uplift"])},
                tone="bad",
            )
        return Sentence(
            "Contact is not shown to change {outcome}: {uplift} ({level:.0%} interval {low} to {high}; "
            "the smallest uplift this comparison finds is {mde}).",
            values,
            tone="warn",
        )


def amount(outcome: str, value: float) -> Sentence:
    """A difference in an outcome as it is read: responses in percentage points."""
    if outcome == "response":
        return Sentence("{value:.2f} points", {"value": 100 * value})
    return Sentence("{value:,.2f}", {"value": value})


def _told(row: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """The values of a sentence about one row."""
    numbers = {c: amount(row["outcome"], row[c]) for c in ("uplift", "low", "high", "mde")}
    return numbers | {"outcome": Sentence(PHRASES[row["outcome"]])} | more


def effects(
    responses: pd.DataFrame,
    membership: pd.Series | None = None,
    *,
    names: Mapping[str, str],
    design: str,
    params: EffectParams,
) -> Effects:
    """Uplift of contacted over control customers, by segment and overall.

    Compared within campaigns (and, overall, within segments), because shares withheld may differ between them; each
    weighs as many customers as it has. Without random withholding nothing is identified and no uplift is computed.

    Parameters
    ----------
    responses
        What `base.responses` returned: one row a customer × campaign; a column ``segment`` where `membership` is None.
    membership
        Segment of each customer, index customer_id, fixed before the contact.
    names
        Segment → name.
    design
        ``randomised`` or ``observational``: how customers came to be contacted.
    params
        Arm, outcomes, intervals.
    """
    rows = placed(responses, membership)
    unplaced = len(responses) - len(rows)
    outcomes = [o for o in params.outcomes if o in rows]
    if design != RANDOMISED or not (rows["arm"] == CONTROL).any() or not (rows["arm"] != CONTROL).any():
        basis = _basis(rows[rows["arm"] != CONTROL], OBSERVATIONAL)
        nothing = pd.DataFrame(columns=list(COLUMNS))
        between = Differing(pd.DataFrame(columns=list(BETWEEN)), basis, params)
        described = _described(rows[rows["arm"] != CONTROL], names)
        arms = nothing.assign(arm=[])
        return Effects(nothing, basis, params, arms, between, False, described, unplaced)
    contacted = sorted(set(rows["arm"]) - {CONTROL})
    if params.arm is not None and params.arm not in contacted:
        raise Refused("effects.arm", f"no arm {params.arm!r} in these contacts; there are {', '.join(contacted)}")
    basis = _basis(rows, design)
    compared = rows if params.arm is None else rows[rows["arm"].isin([params.arm, CONTROL])]
    ids = sorted(compared["segment"].unique())
    table, left_out = [], 0
    for outcome in outcomes:
        for segment in ids:
            part = compared[compared["segment"] == segment]
            table.append(_row(outcome, segment, names.get(segment, segment), _compare(part, outcome, params)))
        overall = _compare(compared, outcome, params)
        left_out = overall.left_out
        table.append(_row(outcome, ALL, mark("All customers"), overall))
    arms = [
        {"arm": arm} | _row(outcome, ALL, arm, _compare(rows[rows["arm"].isin([arm, CONTROL])], outcome, params))
        for arm in contacted
        for outcome in outcomes
    ]
    frame = pd.DataFrame(table, columns=list(COLUMNS))
    between = Differing(_between(frame, params), basis, params)
    return Effects(frame, basis, params, pd.DataFrame(arms), between, True, frame.iloc[:0], unplaced, left_out)


def placed(responses: pd.DataFrame, membership: pd.Series | None) -> pd.DataFrame:
    """Rows of customers who have a segment, with it as column ``segment``, sorted by campaign and customer."""
    rows = responses if membership is None else responses.assign(segment=responses["customer_id"].map(membership))
    rows = rows[rows["segment"].notna()].astype({"segment": "str"})
    return rows.sort_values(["campaign_id", "customer_id"], kind="stable").reset_index(drop=True)


def _compare(rows: pd.DataFrame, outcome: str, params: EffectParams) -> Difference:
    return difference(
        rows[outcome].to_numpy(float),
        (rows["arm"] != CONTROL).to_numpy(),
        stratum=(rows["campaign_id"] + "\x1f" + rows["segment"]).to_numpy(),
        customer=rows["customer_id"].to_numpy(),
        level=params.interval,
        alpha=params.alpha,
        power=params.power,
    )


def _row(outcome: str, segment: str, name: str, d: Difference) -> dict[str, Any]:
    return {"outcome": outcome, "segment": segment, "name": name} | {c: getattr(d, c) for c in COLUMNS[3:]}


def _between(table: pd.DataFrame, params: EffectParams) -> pd.DataFrame:
    """Synthesis of the segments' uplifts, one row an outcome with at least two usable segments."""
    enough = (table["treated"] >= params.fewest) & (table["control"] >= params.fewest) & (table["se"] > 0)
    rows = []
    for outcome, part in table[enough & (table["segment"] != ALL)].groupby("outcome", sort=False):
        if len(part) < 2:
            continue
        s = synthesis(part["uplift"].to_numpy(), part["se"].to_numpy() ** 2, level=params.interval)
        tau_low, tau_high = np.sqrt([s.tau2_low, s.tau2_high])
        spread = (s.k, s.q, s.k - 1, s.p, s.i2, s.tau, tau_low, tau_high)
        rows.append((outcome, *spread, s.mu, s.low, s.high, s.predicted_low, s.predicted_high))
    return pd.DataFrame(rows, columns=list(BETWEEN))


def _described(rows: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Responses of the contacted by segment: no uplift."""
    by = rows.groupby("segment", sort=True)
    out = pd.DataFrame({"treated": by.size(), "treated_mean": by["response"].mean()})
    out.loc[ALL] = [len(rows), rows["response"].mean()]
    out = out.reset_index(names="segment").astype({"treated": "int64"})
    return out.assign(outcome="response", name=[names.get(s, s) for s in out["segment"]])


def _basis(rows: pd.DataFrame, design: str) -> Basis:
    words = {RANDOMISED: mark("withheld at random"), OBSERVATIONAL: mark("not contacted at random: descriptive")}
    start, end = (rows["sent_at"].min().date(), rows["sent_at"].max().date()) if len(rows) else (None, None)
    return Basis(int(rows["customer_id"].nunique()), mark("customers"), start, end, words.get(design, ""))
