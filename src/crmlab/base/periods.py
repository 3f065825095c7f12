"""Histories counted in periods: chances to buy (a year, a month), and contracts that are renewed or not."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Literal

import ibis
import numpy as np
import pandas as pd

from crmlab.base.orders import MONEY
from crmlab.contract import Fault, Refused

Period = Literal["week", "month", "quarter", "year"]

MONTHS: dict[str, int] = {"month": 1, "quarter": 3, "year": 12}

WEEKS: dict[str, float] = {"week": 1.0} | {name: months * 365.25 / 12 / 7 for name, months in MONTHS.items()}
"""Period → its mean length in weeks."""

MONDAY = date(1970, 1, 5)
NEVER = date(9999, 12, 31)


def in_periods(orders: ibis.Table, *, as_of: date, period: Period) -> pd.DataFrame:
    """What a customer did with each calendar period since the first: how many were taken, and when the last.

    For models of opportunities [Fader, Hardie & Shang 2010]. All orders of one period are one purchase. A period that
    is not over by `as_of` is not an opportunity yet, and what was bought in it is left out.

    Parameters
    ----------
    orders
        One row an order: customer_id, date, amount.
    as_of
        Last day that is seen.
    period
        Calendar weeks from Monday, months, quarters or years.

    Returns
    -------
    DataFrame, one row a customer with an order, sorted by customer_id
        x : periods with an order, after that of the first order.
        t_x : number of the last of them, counted from that of the first order (0); 0 when x = 0.
        n : periods that are over, since that of the first order.
        period_weeks : length of a period in weeks.
        T : n in weeks.
        z_bar : mean value of a period with an order, in money; NaN when x = 0.
    """
    seen = orders.filter(orders.date <= ibis.literal(as_of))
    by_period = seen.group_by("customer_id", number=_number(seen.date, period)).agg(spent=seen.amount.cast(MONEY).sum())
    numbered = by_period.mutate(first=by_period.number.min().over(group_by="customer_id"))
    over = _number_of(as_of + timedelta(days=1), period) - 1
    later = (numbered.number > numbered.first) & (numbered.number <= over)
    totals = numbered.group_by("customer_id").agg(
        x=later.sum(),
        t_x=ibis.ifelse(later, numbered.number - numbered.first, 0).max(),
        n=over - numbered.first.min(),
        spent=ibis.ifelse(later, numbered.spent, 0).sum(),
    )
    frame = totals.mutate(spent=totals.spent.cast("float64")).order_by("customer_id").to_pandas()
    x = frame["x"].astype("float64")
    n = frame["n"].astype("float64").clip(lower=0)
    return pd.DataFrame(
        {
            "customer_id": frame["customer_id"].astype("str"),
            "x": x,
            "t_x": frame["t_x"].astype("float64"),
            "n": n,
            "period_weeks": WEEKS[period],
            "T": n * WEEKS[period],
            "z_bar": frame["spent"].astype("float64") / x.where(x > 0),
        }
    )


def contracts(
    subscriptions: ibis.Table, *, as_of: date, period: Period = "month", recorded_from: date | None = None
) -> pd.DataFrame:
    """One row a contract: how many renewals it survived, and whether it ended at the next.

    Subscriptions of a customer that overlap, or follow one another within a period, are one contract (a change of plan,
    a late payment); one who comes back later has a new contract. A contract that ends between two renewals ends at the
    next one, and counts as ended only once that one was due: otherwise the last, unfinished period would show those who
    left and not yet those who stayed.

    Parameters
    ----------
    subscriptions
        customer_id, started_on; ended_on (missing while it runs), fee (a period) and plan where there.
    as_of
        Last day that is seen: what starts or ends later has not happened yet.
    period
        Time from one renewal to the next, counted from the day of the start.
    recorded_from
        First day from which ended contracts are on record. Contracts that began before it are seen only because they
        were still running: they count from their first renewal on or after it (`since`), and those that did not survive
        that renewal are left out.

    Returns
    -------
    DataFrame, sorted by customer_id and contract
        contract : 1 for a customer's first on record, 2 for the next, …
        periods : the renewal at which it ended, or the renewals it survived.
        ended : 1 where it ended, else 0.
        since : renewals survived before it was on record.
        observed : renewals that were due by `as_of`, had it gone on.
        running : whether it still runs: not, for one that has ended though its last renewal is not due yet.
        fee : of the subscriptions that still run, a period; NaN where there is none.
        plan : of its first subscription, the first by name where two begin it; missing where there is none.

    Raises
    ------
    Refused
        When subscriptions end before they start.
    """
    seen = _seen(subscriptions, as_of)
    backwards = int(seen.filter(seen.ended < seen.started).count().to_pandas())
    if backwards:
        raise Refused("subscriptions", [Fault("ended_on", f"{backwards} before started_on; check both dates")])
    spells = _joined(seen, as_of, period)
    leaves_at = (_whole(spells.started, spells.ended - ibis.interval(days=1), period) + 1).clip(lower=1)
    due = _whole(spells.started, ibis.literal(as_of), period).clip(lower=0)
    known_from = ibis.literal(recorded_from or date.min)
    unseen = _whole(spells.started, ibis.literal((recorded_from or NEVER) - timedelta(days=1)), period) + 1
    counted = spells.mutate(
        running=spells.ended == ibis.literal(NEVER),
        leaves_at=leaves_at,
        observed=due,
        since=ibis.ifelse(spells.started < known_from, unseen, 0),
    )
    ends = ~counted.running & (counted.leaves_at <= counted.observed)
    told = counted.mutate(
        ended=ends.cast("int64"), periods=ibis.ifelse(ends, counted.leaves_at, counted.observed).cast("int64")
    )
    kept = told.filter(told.running | (told.periods > told.since)).order_by("customer_id", "contract")
    frame = kept.to_pandas()
    return pd.DataFrame(
        {
            "customer_id": frame["customer_id"].astype("str"),
            "contract": frame["contract"].astype("int64"),
            "periods": frame["periods"].astype("int64"),
            "ended": frame["ended"].astype("int64"),
            "since": np.minimum(frame["since"].astype("int64"), frame["periods"].astype("int64")),
            "observed": frame["observed"].astype("int64"),
            "running": frame["running"].astype("bool"),
            "fee": frame["fee"].astype("float64"),
            "plan": frame["plan"].astype("str"),
        }
    )


def from_survivors(survivors: Sequence[int], *, cohort: str = "") -> pd.DataFrame:
    """The contracts behind a published retention table.

    Parameters
    ----------
    survivors
        How many of a cohort were left at the start, after the first renewal, after the second, …
    cohort
        Begins the customer_ids, so that the contracts of several cohorts can be put together.

    Returns
    -------
    DataFrame
        customer_id, periods, ended, since (0), observed; one row a subscriber.
    """
    left = np.asarray(survivors, dtype=float)
    faults = []
    if len(left) < 2:
        faults.append(Fault("survivors", f"{len(left)} numbers; expected the cohort's size and at least one renewal"))
    if not (np.isfinite(left) & (left >= 0) & (left == np.floor(left))).all():
        faults.append(Fault("survivors", "not whole numbers of subscribers; multiply shares by the cohort's size"))
    elif (np.diff(left) > 0).any():
        faults.append(Fault("survivors", "rise from one renewal to the next; a cohort takes nobody in"))
    if faults:
        raise Refused("retention table", faults)
    last = len(left) - 1
    lost = -np.diff(left).astype("int64")
    periods = np.repeat([*range(1, last + 1), last], [*lost, int(left[-1])])
    ended = np.repeat([1, 0], [int(lost.sum()), int(left[-1])])
    ids = [f"{cohort}{number:07d}" for number in range(1, len(periods) + 1)]
    return pd.DataFrame({"customer_id": ids, "periods": periods, "ended": ended, "since": 0, "observed": last})


def _seen(subscriptions: ibis.Table, as_of: date) -> ibis.Table:
    """Subscriptions as known on `as_of`: customer_id, started, ended (9999-12-31 while it runs), fee, plan."""
    s = subscriptions
    never = ibis.literal(NEVER)
    ended = s.ended_on.cast("date") if "ended_on" in s.columns else ibis.null("date")
    seen = s.select(
        customer_id=s.customer_id.cast("string"),
        started=s.started_on.cast("date"),
        ended=ibis.ifelse(ended <= ibis.literal(as_of), ended, never).fill_null(never),
        fee=s.fee.cast(MONEY) if "fee" in s.columns else ibis.null(MONEY),
        plan=s.plan.cast("string") if "plan" in s.columns else ibis.null("string"),
    )
    return seen.filter(seen.started <= ibis.literal(as_of))


def _joined(seen: ibis.Table, as_of: date, period: Period) -> ibis.Table:
    """Spells of subscriptions without a gap of a period or more: customer_id, contract, started, ended, fee, plan."""
    earlier = ibis.window(group_by="customer_id", order_by=["started", "ended"], preceding=(None, 1))
    until = ibis.window(group_by="customer_id", order_by=["started", "ended"], preceding=None, following=0)
    after = seen.mutate(before=seen.ended.max().over(earlier))
    gap = _whole(after.before, after.started, period)
    fresh = after.mutate(new=(after.before.isnull() | ((after.before < after.started) & (gap >= 1))).cast("int64"))
    spells = fresh.mutate(contract=fresh.new.sum().over(until))
    spells = spells.mutate(opened=spells.started.min().over(group_by=["customer_id", "contract"]))
    running = spells.ended == ibis.literal(NEVER)
    return spells.group_by("customer_id", "contract").agg(
        started=spells.opened.min(),
        ended=spells.ended.max(),
        fee=spells.fee.sum(where=running),
        plan=spells.plan.min(where=spells.started == spells.opened),
    )


def _whole(start: ibis.Value, end: ibis.Value, period: Period) -> ibis.Value:
    """Whole periods from one day to another; a month from the 31st ends on the last day of a shorter month."""
    if period == "week":
        return (end.delta(start, unit="day") / 7).floor().cast("int64")
    months = (end.year() - start.year()) * 12 + end.month() - start.month()
    last_day = (end.truncate("M") + ibis.interval(months=1) - ibis.interval(days=1)).cast("date").day()
    reached = end.day() >= ibis.least(start.day(), last_day)
    return ((months - ibis.ifelse(reached, 0, 1)) / MONTHS[period]).floor().cast("int64")


def _number(day: ibis.Value, period: Period) -> ibis.Value:
    """Number of the calendar period that holds `day`."""
    if period == "week":
        return (day.delta(ibis.literal(MONDAY), unit="day") / 7).floor().cast("int64")
    return ((day.year() * 12 + day.month() - 1) / MONTHS[period]).floor().cast("int64")


def _number_of(day: date, period: Period) -> int:
    return (day - MONDAY).days // 7 if period == "week" else (day.year * 12 + day.month - 1) // MONTHS[period]
