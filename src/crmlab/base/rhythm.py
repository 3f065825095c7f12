"""On which weekdays, and in which months, customers buy: the pattern told from chance, and season from trend."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import ClassVar

import ibis
import numpy as np
import pandas as pd
from scipy.special import stdtrit

from crmlab.base.gaps import LEFT_OUT, NOWHERE, grouped, purchase_days
from crmlab.base.intervals import GROUPS, LEVEL, jackknife_se
from crmlab.base.ipt import ALL
from crmlab.contract import Basis, Result, Sentence, mark
from crmlab.contract.result import FEWEST

WEEKDAYS = (
    mark("Monday"),
    mark("Tuesday"),
    mark("Wednesday"),
    mark("Thursday"),
    mark("Friday"),
    mark("Saturday"),
    mark("Sunday"),
)
MONTHS = (
    mark("January"),
    mark("February"),
    mark("March"),
    mark("April"),
    mark("May"),
    mark("June"),
    mark("July"),
    mark("August"),
    mark("September"),
    mark("October"),
    mark("November"),
    mark("December"),
)
WEEKS = 4
"""Whole weeks before a weekday is compared with others."""
YEARS = 24
"""Whole months before season is told from trend."""
EVEN = 0.10
"""A weekday or month within this of the mean does not stand out, however sure that is."""


@dataclass(frozen=True)
class Rhythm(Result):
    """table: segment, name, weekday (1 Monday … 7), day, customers, purchases, share, low, high, apart; one row each.

    `customers` bought on that weekday; `share` is of the segment's purchase days in whole weeks; `apart` says that the
    weekday stands out from one in seven, allowing for seven being looked at, and `unlike` that it does from the share
    of all customers, allowing for all segments. `season`: segment, name, month, called,
    index (1: an average month), low, high, apart; empty where fewer than two years are seen.
    """

    table: pd.DataFrame
    basis: Basis
    season: pd.DataFrame = field(default_factory=pd.DataFrame)
    weeks: int = 0
    months: int = 0

    title: ClassVar[str] = "On which days customers buy"
    note: ClassVar[str] = (
        "Share of the days with a purchase that fall on each weekday, over whole weeks; even days would have one in "
        "seven, 14.3 %. Intervals of 90 % by leaving out groups of customers. A day stands out where it is sure, "
        "seven days being looked at, to differ from an even day by a tenth."
    )
    columns: ClassVar[dict[str, tuple[str, str]]] = {
        "day": ("weekday", "word"),
        "customers": ("customers who bought on it", ",.0f"),
        "share": ("share of purchases", ".1%"),
        "low": ("90 % low", ".1%"),
        "high": ("90 % high", ".1%"),
        "stands": ("stands out", "word"),
    }

    def shown(self) -> pd.DataFrame:
        """The weekdays of all customers; those of segments are in the picture and the published table."""
        whole = self.table[self.table["segment"] == ALL]
        stands = whole["apart"].map({True: mark("yes"), False: mark("no")}).astype("str")
        return whole.assign(stands=stands)

    def sentences(self) -> list[Sentence]:
        """Which weekdays and months stand out, or that none does."""
        return [*self._week(), *self._segments(), *self._year()]

    def _week(self) -> list[Sentence]:
        days = self.table[self.table["segment"] == ALL]
        if self.weeks < WEEKS or not days["purchases"].sum():
            text = "Fewer than {n} whole weeks are observed: there is no weekday pattern yet."
            return [Sentence(text, {"n": WEEKS}, "warn")]
        if days["low"].isna().all():
            return [Sentence("Too few customers to say whether a weekday stands out.", tone="warn")]
        told = days[days["customers"] >= FEWEST]
        apart = told[told["apart"]].sort_values(["share", "weekday"], ascending=[False, True])
        said = []
        if apart.empty:
            text = "No weekday stands out: each has between {low:.0%} and {high:.0%} of the purchases."
            values = {"low": float(days["share"].min()), "high": float(days["share"].max())}
            said.append(Sentence(text, values))
        else:
            most, few = apart.iloc[0], apart.iloc[-1]
            if most["share"] > 1 / 7:
                text = "Most purchases fall on {day}: {share:.0%} [{low:.0%}, {high:.0%}]; even days have 14%."
                said.append(Sentence(text, _told(most)))
            if few["share"] < 1 / 7:
                text = "Few purchases fall on {day}: {share:.0%} [{low:.0%}, {high:.0%}]; even days have 14%."
                said.append(Sentence(text, _told(few)))
        for day in days.loc[days["purchases"] == 0, "day"]:
            said.append(Sentence("Nobody bought on a {day}.", {"day": Sentence(day)}))
        return said

    def _segments(self) -> list[Sentence]:
        parts = self.table[(self.table["segment"] != ALL) & (self.table["customers"] >= FEWEST)]
        parts = parts[parts["unlike"]] if len(parts) else parts
        if parts.empty:
            return []
        whole = self.table[self.table["segment"] == ALL].set_index("weekday")["share"]
        away = (parts["share"] - parts["weekday"].map(whole)).round(9)
        row = parts.assign(away=away, most=away.abs()).sort_values(["most", "segment"], ascending=[False, True]).iloc[0]
        text = (
            "Least like the others buys “{name}”: {share:.0%} of its purchases fall on {day}, {all:.0%} of everybody's."
        )
        values = {"name": row["name"], "share": float(row["share"]), "day": Sentence(row["day"])}
        return [Sentence(text, values | {"all": float(whole[row["weekday"]])})]

    def _year(self) -> list[Sentence]:
        if self.season.empty:
            text = "{n} whole months are observed: before two years season cannot be told from trend."
            return [Sentence(text, {"n": self.months})]
        months = self.season[(self.season["segment"] == ALL) & self.season["apart"]]
        if months.empty:
            return [Sentence("No month stands out from trend and chance.")]
        row = months.iloc[int(np.argmax(np.abs(np.log(months["index"].to_numpy()).round(9))))]
        change = float(row["index"]) - 1
        text = "{month} has {more:.0%} more purchases than an average month [{low:+.0%}, {high:+.0%}]."
        if change < 0:
            text = "{month} has {more:.0%} fewer purchases than an average month [{low:+.0%}, {high:+.0%}]."
        values = {"month": Sentence(row["called"]), "more": abs(change)}
        return [Sentence(text, values | {k: float(row[k]) - 1 for k in ("low", "high")})]


def _told(row: pd.Series) -> dict[str, object]:
    return {"day": Sentence(row["day"])} | {k: float(row[k]) for k in ("share", "low", "high")}


def rhythm(
    orders: ibis.Table, *, as_of: date, segments: pd.Series | None = None, names: dict[str, str] | None = None
) -> Rhythm:
    """Weekday pattern of all customers and by segment; seasonal pattern where two years are observed.

    Season is the effect of the month in log purchases a day = trend + month, by least squares over whole months, its
    intervals from what is left over: they say how alike the years are.

    Parameters
    ----------
    orders
        One row an order: customer_id, date.
    as_of
        Last day that is seen.
    segments
        customer_id → segment id; customers without one are in no segment's row.
    names
        Segment id → name.
    """
    days = purchase_days(orders, as_of)
    each, ids = grouped(days.select("customer_id").distinct(), segments)
    joined = days.inner_join(each, "customer_id")
    found = joined.group_by("cell", "date").agg(n=joined.count()).to_pandas().sort_values(["cell", "date"])
    if found.empty:
        return Rhythm(_no_days(), Basis(0, mark("customers"), end=as_of))
    found = found.assign(date=pd.to_datetime(found["date"]), place=found["cell"] // GROUPS, grp=found["cell"] % GROUPS)
    start = found["date"].min().date()
    weeks = ((as_of - start).days + 1) // 7
    since = as_of - timedelta(days=7 * weeks - 1)
    recent = joined.filter(joined.date >= ibis.literal(since)) if weeks else joined
    people = recent.group_by(place=recent.cell // GROUPS, weekday=recent.date.day_of_week.index().cast("int64"))
    people = people.agg(n=lambda t: t.customer_id.nunique()).to_pandas()
    inside = found[found["date"] >= pd.Timestamp(since)] if weeks else found
    named = {s: (names or {}).get(s, s) for s in ids}
    table = _weekdays(inside, people, ids, named)
    months = _months(start, as_of)
    season = _season(found, months, ids, named) if len(months) >= YEARS else pd.DataFrame()
    n = int(each.count().to_pandas())
    return Rhythm(table, Basis(n, mark("customers"), start=start, end=as_of), season, weeks, len(months))


def _no_days() -> pd.DataFrame:
    columns = ["segment", "name", "weekday", "day", "customers", "purchases", "share", "low", "high", "apart", "unlike"]
    return pd.DataFrame({c: pd.Series(dtype="str" if c in ("segment", "name", "day") else "float64") for c in columns})


def _weekdays(found: pd.DataFrame, people: pd.DataFrame, ids: list[str], names: dict[str, str]) -> pd.DataFrame:
    """One row a segment and weekday."""
    counts = np.zeros((len(ids), GROUPS, 7))
    at = (found["place"].to_numpy(), found["grp"].to_numpy(), found["date"].dt.day_of_week.to_numpy())
    np.add.at(counts, at, found["n"].to_numpy())
    bought = np.zeros((len(ids), 7), dtype="int64")
    bought[people["place"].to_numpy(dtype="int64"), people["weekday"].to_numpy(dtype="int64")] = people["n"]
    whole = counts.sum(axis=0)
    rows = []
    segments = [(ALL, whole, bought.sum(axis=0))]
    segments += [(s, counts[i], bought[i]) for i, s in enumerate(ids) if s != NOWHERE and counts[i].any()]
    looked = 7 * max(len(segments) - 1, 1)
    for segment, of, customers in segments:
        share, low, high = _shares(of, LEVEL)
        _, sure_low, sure_high = _shares(of, 1 - (1 - LEVEL) / 7)
        _, from_all, to_all = _shares(of, 1 - (1 - LEVEL) / looked, against=whole)
        frame = pd.DataFrame({"weekday": range(1, 8), "day": WEEKDAYS, "customers": customers})
        rows.append(
            frame.assign(
                segment=segment,
                name=names.get(segment, segment),
                purchases=of.sum(axis=0).astype("int64"),
                share=share,
                low=np.maximum(low, 0),
                high=np.minimum(high, 1),
                apart=(sure_low > (1 + EVEN) / 7) | (sure_high < (1 - EVEN) / 7),
                unlike=(segment != ALL) & ((from_all > EVEN / 7) | (to_all < -EVEN / 7)),
            )
        )
    columns = list(_no_days())
    return pd.concat(rows, ignore_index=True)[columns].astype({"segment": "str", "name": "str", "day": "str"})


def _shares(of: np.ndarray, level: float, *, against: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
    """Shares of the weekdays (less those of `against`), with limits by the jackknife over the groups with purchases."""
    groups = np.flatnonzero(of.sum(axis=1) > 0)
    total = of.sum(axis=0)
    share = total / max(total.sum(), 1)
    if against is not None:
        share = share - against.sum(axis=0) / max(against.sum(), 1)
    if len(groups) < LEFT_OUT:
        return share, np.full(7, np.nan), np.full(7, np.nan)
    without = total - of[groups]
    without = without / without.sum(axis=1, keepdims=True)
    if against is not None:
        rest = against.sum(axis=0) - against[groups]
        without = without - rest / rest.sum(axis=1, keepdims=True)
    half = stdtrit(len(groups) - 1, (1 + level) / 2) * jackknife_se(without)
    return share, share - half, share + half


def _months(start: date, as_of: date) -> pd.PeriodIndex:
    """The months seen whole; the first may begin up to three days late."""
    months = pd.period_range(start, as_of, freq="M")
    whole = (months.start_time >= pd.Timestamp(start - timedelta(days=3))) & (
        months.end_time.normalize() <= pd.Timestamp(as_of)
    )
    return months[whole]


def _season(found: pd.DataFrame, months: pd.PeriodIndex, ids: list[str], names: dict[str, str]) -> pd.DataFrame:
    """One row a segment and month of the year."""
    month = found["date"].dt.to_period("M")
    by_place = found.groupby(["place", month])["n"].sum()
    rows = []
    for place, segment in [(None, ALL), *((i, s) for i, s in enumerate(ids) if s != NOWHERE)]:
        counts = by_place.groupby(level=1).sum() if place is None else by_place.get(place, pd.Series(dtype="int64"))
        counts = counts.reindex(months, fill_value=0).to_numpy(dtype="float64")
        if not counts.any():
            continue
        effect, half, sure = _effects(np.log((counts + 0.5) / months.days_in_month.to_numpy()), months.month.to_numpy())
        frame = pd.DataFrame({"month": range(1, 13), "called": MONTHS, "index": np.exp(effect)})
        apart = (effect - sure > np.log1p(EVEN)) | (effect + sure < np.log1p(-EVEN))
        limits = {"low": np.exp(effect - half), "high": np.exp(effect + half), "apart": apart}
        rows.append(frame.assign(segment=segment, name=names.get(segment, segment), **limits))
    columns = ["segment", "name", "month", "called", "index", "low", "high", "apart"]
    return pd.concat(rows, ignore_index=True)[columns].astype({"segment": "str", "name": "str", "called": "str"})


def _effects(logs: np.ndarray, month: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Effects of the months beside a straight trend: estimate, half-width of 90 %, the same for the twelve together."""
    time = np.arange(len(logs)) - (len(logs) - 1) / 2
    design = np.column_stack([month[:, None] == np.arange(1, 13), time]).astype("float64")
    centre = np.column_stack([np.eye(12) - 1 / 12, np.zeros(12)])
    inverse = np.linalg.inv(design.T @ design)
    beta = inverse @ design.T @ logs
    freedom = len(logs) - design.shape[1]
    variance = ((logs - design @ beta) ** 2).sum() / freedom
    error = np.sqrt(np.diag(centre @ inverse @ centre.T) * variance)
    half, sure = (stdtrit(freedom, 1 - tail / 2) * error for tail in (1 - LEVEL, (1 - LEVEL) / 12))
    return centre @ beta, half, sure
