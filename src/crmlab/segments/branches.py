"""Rules that part customers: the named cells of RFM, bands and categories of a trait, tiers of value, classes."""

from math import floor, log10

import numpy as np
import pandas as pd

from crmlab.contract import mark
from crmlab.segments.nodes import Condition
from crmlab.segments.params import SCORES, SegmentsSpec

Rules = list[tuple[str, tuple[Condition, ...]]]
"""Branches in the order in which they are tried: name (empty: composed from the rule) and conditions."""


def rfm_rules(scores: int) -> Rules:
    """Eight named segments over recency, frequency and monetary scores of 1 (worst) to `scores` (best).

    High is the upper third of the scores (4 and 5 of five), low the lower third (1 and 2 of five). Every customer is
    in exactly one, customers without an order too.
    """
    high = 2 * scores // 3 + 1
    middle = max(scores + 2 - high, 2)
    r_high, f_high, m_high = (Condition(trait=t, at_least=high) for t in SCORES)
    r_middle, f_middle, _ = (Condition(trait=t, at_least=middle) for t in SCORES)
    rules: Rules = [
        (mark("No orders yet"), (Condition(trait="r_score", missing=True),)),
        (mark("Champions"), (r_high, f_high, m_high)),
        (mark("Loyal"), (r_middle, f_high)),
        (mark("Big spenders"), (r_middle, m_high)),
        (mark("Promising"), (r_high,)),
        (mark("Needs attention"), (r_middle,)),
        (mark("At risk"), (f_middle,)),
        (mark("Hibernating"), ()),
    ]
    return [r for r in rules if r[0] != "Needs attention" or middle < high]


def class_rules(model: str, classes: int) -> Rules:
    """One branch a class but the last; those whose class is unknown; the last class."""
    rules: Rules = [("", (Condition(trait=model, is_=(k,)),)) for k in range(1, classes)]
    return [*rules, ("", (Condition(trait=model, missing=True),)), ("", ())]


def tier_rules(model: str, cuts: list[float], names: list[str]) -> Rules:
    """Tiers of value from high to low; those whose value is unknown; the lowest tier last."""
    *upper, (_, missing), (_, lowest) = band_rules(model, cuts)
    called = [(name, when) for name, (_, when) in zip(names, upper, strict=False)]
    return [*called, ("", missing), (names[-1], lowest)]


def trait_rules(trait: str, kind: str, values: pd.Series, spec: SegmentsSpec) -> Rules:
    """The branches of one trait by its kind."""
    if kind == "category":
        return category_rules(trait, values, spec.min_size)
    cuts = cut_points(pd.to_numeric(values).to_numpy(dtype=np.float64, na_value=np.nan), spec.bands, spec.min_size)
    return band_rules(trait, ([1] if cuts else []) if kind == "flag" else cuts)


def category_rules(trait: str, values: pd.Series, min_size: int) -> Rules:
    """One branch a category of at least `min_size`, largest first; the missing; all others together."""
    sizes = values.dropna().astype(str).value_counts()
    large = sorted((s for s in sizes.index if sizes[s] >= min_size), key=lambda s: (-int(sizes[s]), s))
    rules: Rules = [(s, (Condition(trait=trait, is_=(s,)),)) for s in large]
    return [*rules, ("", (Condition(trait=trait, missing=True),)), (mark("Other"), ())]


def band_rules(trait: str, cuts: list[float | int]) -> Rules:
    """Bands from high to low, each with both its ends; the missing; the lowest band last."""
    rules: Rules = []
    for i in range(len(cuts) - 1, -1, -1):
        ends = [Condition(trait=trait, at_least=cuts[i])]
        if i + 1 < len(cuts):
            ends.append(Condition(trait=trait, below=cuts[i + 1]))
        rules.append(("", tuple(ends)))
    return [*rules, ("", (Condition(trait=trait, missing=True),)), ("", ())]


def cut_points(values: np.ndarray, bands: int, min_size: int) -> list[float | int]:
    """Lower ends of all bands but the lowest: quantiles moved up to the next value, so that ties share a band.

    Parameters
    ----------
    values
        float64, shape (n,); missing values do not count.
    bands
        Bands wanted; heavy ties and `min_size` give fewer.
    min_size
        Fewest customers of a band.

    Returns
    -------
    list
        Ascending, of three significant digits where that tells the two neighbouring values apart.
    """
    known = np.sort(values[np.isfinite(values)])
    cuts: list[float | int] = []
    start = 0
    for j in range(1, bands):
        below = known[-(-j * len(known) // bands) - 1] if len(known) else np.inf
        place = int(np.searchsorted(known, below, side="right"))
        if place - start >= min_size and len(known) - place >= min_size:
            cuts.append(_short_number(below, known[place]))
            start = place
    return cuts


def _short_number(below: float, at: float) -> float | int:
    """A number of few digits above `below` and at most `at`: it cuts between two neighbouring values."""
    for digits in range(3, 18):
        scale = digits - 1 - (floor(log10(abs(at))) if at else 0)
        if scale > 300:  # beyond what a power of ten can hold
            break
        cut = round(float(np.floor(at * 10.0**scale) / 10.0**scale), max(scale, 0))
        if below < cut <= at:
            return int(cut) if cut == int(cut) else cut
    return float(at)
