"""What contact added, and whether segments differ in it: the tables, and what is said of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd

from crmlab.contract import Basis, Result, Sentence, mark, say
from crmlab.contract.result import FEWEST
from crmlab.reanalysis.params import EffectParams

ALL = "all"
"""The `segment` of rows that take all customers together."""

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


def _few(wide: pd.DataFrame, arm: str) -> pd.Series:
    """Segments in whose arm 1 to 4 people responded: their rates would tell who."""
    if f"{arm}_mean" not in wide:
        return pd.Series(False, index=wide.index)
    return (wide[f"{arm}_mean"] * wide[arm]).round().between(1, FEWEST - 1)


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
        few = _few(wide, "treated") | _few(wide, "control")
        wide.loc[few, [c for c in ("treated_mean", "control_mean") if c in wide]] = float("nan")
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
