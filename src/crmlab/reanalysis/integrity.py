"""May what follows be believed? Checks of who was contacted, before any effect is read."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy.stats import chisquare, norm
from statsmodels.stats.weightstats import CompareMeans

from crmlab.activation import replayed
from crmlab.base.responses import CONTROL
from crmlab.contract import Basis, Result, Sentence, mark
from crmlab.contract.result import FEWEST
from crmlab.reanalysis.effects import RANDOMISED, rests_on

FINE, WARNING, FAILS, UNCHECKED = mark("fine"), mark("warning"), mark("fails"), mark("not checked")

COLUMNS = ("check", "campaign_id", "count", "of", "value", "p", "verdict")

PEOPLE = mark("{count:,} of {of:,} customers ({value:.1%})")
ROWS = mark("{count:,} of {of:,} outcomes ({value:.1%})")
FEW = {
    PEOPLE: mark("fewer than {fewest} of {of:,} customers"),
    ROWS: mark("fewer than {fewest} of {of:,} outcomes"),
}
FINDINGS = {
    mark("sizes of the arms"): mark(
        "{count:,} of {of:,} customers are in the control group, {value:.1%} more or less than planned (p = {p:.2g})"
    ),
    mark("prior spend, contacted against control"): mark("standardised difference {value:+.2f} (p = {p:.2g})"),
    mark("prior spend, contacted against not contacted"): mark("standardised difference {value:+.2f}"),
    mark("contacted more than once"): PEOPLE,
    mark("listed in two arms"): PEOPLE,
    mark("in another campaign at the same time"): PEOPLE,
    mark("outcomes of people never in the campaign"): ROWS,
    mark("outcomes outside the window"): ROWS,
}
"""Check → what is said of it."""

LIMITS = {
    "contacted more than once": (0.0, 0.05),
    "listed in two arms": (0.0, 0.01),
    "in another campaign at the same time": (0.05, 1.0),
    "outcomes of people never in the campaign": (0.01, 0.05),
    "outcomes outside the window": (0.20, 1.0),
}
"""Check → the share up to which it is fine, and above which it fails; between them a warning."""

SRM_WARNING, SRM_FAILS = 0.01, 0.001
"""p of the sizes of the arms below which there is a warning, and below which the check fails."""

LIKE, UNLIKE = 0.10, 0.25
"""Standardised differences of prior spend up to which groups are alike, and above which they are not."""


@dataclass(frozen=True)
class Integrity(Result):
    """Checks of the contacts.

    table: check, campaign_id ("" where all together), count, of, value, p, verdict.
    """

    table: pd.DataFrame
    basis: Basis
    design: str

    title: ClassVar[str] = "Can the contacts be trusted?"
    note: ClassVar[str] = (
        "Each check has its verdict: fine, warning or fails. A standardised difference is the difference of means in "
        "standard deviations; groups drawn at random differ by less than 0.1."
    )
    columns: ClassVar[dict[str, tuple[str, str]]] = {
        "check": ("Check", "word"),
        "campaign_id": ("Campaign", ""),
        "finding": ("Finding", ""),
        "verdict": ("Verdict", "word"),
    }
    people: ClassVar[tuple[str, ...]] = ()

    @property
    def sound(self) -> bool:
        """Whether no check fails: otherwise effects are not to be believed before the cause is found."""
        return not (self.table["verdict"] == FAILS).any()

    def shown(self) -> pd.DataFrame:
        """Each check with its finding in words."""
        said = [_finding(row) for row in self.table.to_dict("records")]
        return self.table.assign(finding=pd.Series(said, dtype="str"))

    def sentences(self) -> list[Sentence]:
        """Whether what follows may be read as effects."""
        t = self.table
        if self.design != RANDOMISED:
            out = [
                Sentence("These customers were not contacted at random; what follows is descriptive.", tone="warn"),
            ]
            smd = t.loc[t["check"] == "prior spend, contacted against not contacted", "value"]
            if len(smd) and abs(smd.iloc[0]) > LIKE:
                out.append(
                    Sentence(
                        "Before the contact the contacted already spent {more:.2f} standard deviations more than the "
                        "others."
                        if smd.iloc[0] > 0
                        else "Before the contact the contacted spent {more:.2f} standard deviations less than the "
                        "others.",
                        {"more": abs(float(smd.iloc[0]))},
                        tone="warn",
                    )
                )
            elif len(smd) and np.isfinite(smd.iloc[0]):
                out.append(
                    Sentence(
                        "In prior spend the contacted and the others are alike (standardised difference {smd:+.2f}); "
                        "in what is not known they may still differ.",
                        {"smd": float(smd.iloc[0])},
                    )
                )
            return out
        sizes = t.loc[t["check"] == "sizes of the arms", "verdict"]
        failed = sorted(set(t.loc[t["verdict"] == FAILS, "check"]) - {"sizes of the arms"})
        if (sizes == FAILS).any():
            return [
                Sentence(
                    "The arms do not have the sizes that were planned: something other than chance decided who was "
                    "contacted. Read no effect before the cause is found.",
                    tone="bad",
                )
            ]
        if failed:
            return [
                Sentence(
                    "Customers were withheld at random, but {n} checks fail, the first: {check}. What follows may "
                    "not be read as effects before the cause is found."
                    if len(failed) > 1
                    else "Customers were withheld at random, but one check fails: {check}. What follows may not be "
                    "read as effects before the cause is found.",
                    {"n": len(failed), "check": Sentence(failed[0])},
                    tone="bad",
                )
            ]
        if (sizes == FINE).all() and len(sizes):
            return [
                Sentence(
                    "Customers were withheld at random and the arms have the sizes planned: differences between "
                    "them are effects of the contact.",
                    tone="good",
                )
            ]
        return [
            Sentence(
                "Customers were withheld at random, but whether the arms have the sizes planned is not certain: read "
                "the effects with that in mind.",
                tone="warn",
            )
        ]


def _finding(row: Mapping[str, Any]) -> str:
    if row["verdict"] == UNCHECKED:
        return str(Sentence("nothing to check it against"))
    values = {c: row[c] for c in ("count", "of", "value", "p")} | {"fewest": FEWEST}
    text = FINDINGS[row["check"]]
    if 0 < row["count"] < FEWEST:
        text = FEW.get(text, text)
    return str(Sentence(text, values))


def integrity(
    responses: pd.DataFrame,
    traffic: pd.DataFrame,
    *,
    planned: Mapping[str, float] | pd.Series | None,
    design: str,
    as_of: date,
    prior: pd.Series | None = None,
) -> Integrity:
    """Check who was contacted, before any effect is read.

    Parameters
    ----------
    responses
        One row a customer × campaign.
    traffic
        What `base.responses.traffic` returned for the same campaigns.
    planned
        Share of each arm; or, where it was not one share for all, each customer's planned share of control (index
        customer_id); None: not known.
    design
        ``randomised`` or ``observational``.
    as_of
        Last day before the contact; shown with the basis.
    prior
        Spend of every customer of the base up to `as_of`, index customer_id; None: groups are not compared.
    """
    rows = []
    if design == RANDOMISED:
        rows.append(_sizes(responses, planned))
    if prior is not None:
        rows.append(_balance(responses, prior, design))
    for record in traffic.to_dict("records"):
        of, seen = int(record["customers"]), int(record["outcomes"])
        found = [
            ("contacted more than once", record["repeated"], of),
            ("listed in two arms", record["two_arms"], of),
            ("in another campaign at the same time", record["overlapping"], of),
            ("outcomes of people never in the campaign", record["strangers"], seen),
            ("outcomes outside the window", record["outside"], seen),
        ]
        rows += [_share(check, record["campaign_id"], int(count), total) for check, count, total in found]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(
        {"count": "int64", "of": "int64", "value": "float64", "p": "float64"}
    )
    basis = rests_on(responses, design)
    return Integrity(table, replace(basis, start=as_of if basis.end else None), design)


def sample_ratio(control: np.ndarray, share: np.ndarray | float) -> tuple[float, float]:
    """Number withheld against its plan: z = (Σc − Σπ)/√Σπ(1 − π) and two-sided p; shares may differ by customer.

    With one share, z² is the χ² of the two arms.
    """
    pi = np.broadcast_to(share, len(control))
    sd = np.sqrt(np.sum(pi * (1 - pi)))
    z = float((control.sum() - pi.sum()) / sd) if sd > 0 else np.nan
    return z, float(2 * norm.sf(abs(z)))


def standardised_difference(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Difference of means in pooled standard deviations [Rosenbaum and Rubin 1985], and its p (unequal variances)."""
    smd = replayed.standardised_difference(one, other)[0]
    if np.isnan(smd):  # too few, or nothing varies
        return (0.0 if min(len(one), len(other)) > 1 and one.mean() == other.mean() else np.nan), np.nan
    return smd, float(CompareMeans.from_data(one, other).ztest_ind(usevar="unequal")[1])


def _sizes(responses: pd.DataFrame, planned: Mapping[str, float] | pd.Series | None) -> dict[str, Any]:
    control = (responses["arm"] == CONTROL).to_numpy()
    row = {"check": "sizes of the arms", "campaign_id": "", "count": int(control.sum()), "of": len(control)}
    if planned is None or not len(control):
        return row | {"value": np.nan, "p": np.nan, "verdict": UNCHECKED}
    if isinstance(planned, pd.Series):
        share = responses["customer_id"].map(planned).to_numpy(float)
        known = ~np.isnan(share)
        expected = share[known].sum()
        _, p = sample_ratio(control[known], share[known])
        off = abs(control[known].sum() - expected) / max(expected, 1)
    else:
        total = sum(planned.values())
        arms = sorted(set(planned) | set(responses["arm"]))
        seen = responses["arm"].value_counts().reindex(arms, fill_value=0).to_numpy(float)
        wanted = np.array([planned.get(a, 0.0) for a in arms]) / total * len(control)
        p = float(chisquare(seen, wanted).pvalue) if (wanted > 0).all() else 0.0
        expected = planned.get(CONTROL, 0.0) / total * len(control)
        off = abs(control.sum() - expected) / max(expected, 1)
    verdict = FAILS if not p >= SRM_FAILS else WARNING if p < SRM_WARNING else FINE
    return row | {"value": float(off), "p": p, "verdict": verdict}


def _balance(responses: pd.DataFrame, prior: pd.Series, design: str) -> dict[str, Any]:
    """Prior spend of the contacted against the control group, or against everybody else."""
    contacted = set(responses.loc[responses["arm"] != CONTROL, "customer_id"])
    spend = prior.dropna().astype("float64")
    one = spend[spend.index.isin(contacted)].to_numpy()
    if design == RANDOMISED:
        withheld = set(responses.loc[responses["arm"] == CONTROL, "customer_id"]) - contacted
        other = spend[spend.index.isin(withheld)].to_numpy()
        smd, p = standardised_difference(one, other)
        verdict = UNCHECKED if np.isnan(p) else FAILS if p < SRM_FAILS else WARNING if p < SRM_WARNING else FINE
        check = "prior spend, contacted against control"
    else:
        other = spend[~spend.index.isin(contacted)].to_numpy()
        smd, p = standardised_difference(one, other)[0], np.nan
        far = abs(smd)
        verdict = UNCHECKED if np.isnan(smd) else FINE if far <= LIKE else WARNING if far <= UNLIKE else FAILS
        check = "prior spend, contacted against not contacted"
    total = len(one) + len(other)
    row = {"check": check, "campaign_id": "", "count": len(one), "of": total}
    return row | {"value": smd, "p": p, "verdict": verdict}


def _share(check: str, campaign: str, count: int, of: int) -> dict[str, Any]:
    value = count / of if of else np.nan
    fine, fails = LIMITS[check]
    verdict = UNCHECKED if not of else FINE if value <= fine else WARNING if value <= fails else FAILS
    row = {"check": check, "campaign_id": campaign, "count": count, "of": of}
    return row | {"value": value, "p": np.nan, "verdict": verdict}
