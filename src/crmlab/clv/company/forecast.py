"""The company's total of repeat purchases, week by week: the model's draws, moved by a calendar it does not know.

The model says how many purchases each customer is expected to make; `crmlab.clv.company.calendar` learns from past
weeks how far all customers together stray from it: by newcomers who buy unlike what the model says in their first weeks
(no calendar, but taken for a season where it is left out), by campaigns, drift, season and shocks. In draw d, week h
ahead

N_h ~ Poisson(M_h · f · exp(u + c + g·x + shock)),

M_h being the sum of expected purchases under the d-th parameters and f a Gamma variable of mean 1 that carries what
customers' unknown rates add to Poisson. Segments share N_h by the multinomial distribution, in proportion to their own
M_h · f: they add up to the company in every draw, and naming segments changes no company total.
"""

from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd
from scipy.interpolate import PchipInterpolator

from crmlab.clv.company.calendar import YEAR, calendar
from crmlab.clv.company.forecast_result import CompanyForecast, interval_table
from crmlab.clv.fitting.fit import Fit, require_passed
from crmlab.clv.models.model import Arrays, PurchaseModel, just_acquired
from crmlab.clv.params import CLVParams
from crmlab.clv.value.predict import CELLS, expected, kept
from crmlab.contract import Basis, Fault, Refused, generator, mark

SHORT, WIDENED = 66, 1.25
"""Weeks of history below which the variance of the log is raised, and by what factor."""
FEWEST_WEEKS = 8
MOST_WEEKS = 260
"""Past weeks that the calendar is learnt from, the latest: of drift five years ago nothing is left, and one order dated
1970 would make it read thousands."""
EVALUATIONS = 200_000
FEWEST_DRAWS = 20
KNOTS = 5
CAMPAIGN_SD = 0.3
FRESH, FRESH_SD = (3.0, 13.0), (0.5, 0.25)
"""Weeks after which newcomers stop buying unlike what the model says, and how unlike, in logs."""
AGES = 48
SAMPLED, SAMPLED_DRAWS = 2_000, 40


def forecast(
    orders: ibis.Table,
    history: pd.DataFrame,
    fitted: Fit,
    *,
    as_of: date,
    weeks: int,
    params: CLVParams,
    seed: int,
    segments: pd.Series | None = None,
    campaigns: pd.DataFrame | None = None,
) -> CompanyForecast:
    """Repeat purchases of the customers acquired by `as_of`, in each of the next `weeks`.

    Parameters
    ----------
    orders
        One row an order: customer_id, date, amount.
    history
        Of these orders up to `as_of`: `crmlab.base.history.history`.
    fitted
        Fit of a model of purchases to it.
    as_of
        Last day that is seen; weeks are counted from the day after.
    weeks
        Weeks ahead.
    params
        Draws to keep.
    seed
        The study's seed.
    segments
        customer_id → segment; customers without one are gathered under ``"no segment"``.
    campaigns
        start, end (dates, both included), reach (share of the base contacted, 0 to 1): one row a campaign, past or
        planned.

    Raises
    ------
    GateFailed
        When the fit did not pass its gate.
    Refused
        When the history is too short, or campaigns cannot be meant, naming every fault.
    """
    require_passed(fitted)
    observed = int(history["T"].max()) if len(history) else 0
    faults = [] if observed >= FEWEST_WEEKS else [Fault("history", f"{observed} whole weeks; at least {FEWEST_WEEKS}")]
    faults += [] if weeks >= 1 else [Fault("weeks", f"got {weeks}; expected 1 or more")]
    if faults := faults + campaign_faults(campaigns):
        raise Refused("company forecast", faults)
    model, draws = fitted.fitted, kept(fitted.draws, params.kept_draws)
    model.check(history)
    counted = repeats_before(orders, as_of, observed)
    made, fresh = given_acquisition(model, draws, history, weeks)
    reach = contacted(campaigns, as_of, observed, weeks)
    known = np.column_stack([fresh, reach])
    known_sd = np.array([*FRESH_SD, *[CAMPAIGN_SD] * reach.shape[1]])
    rng = generator(seed, "clv", "company")
    since = max(observed - MOST_WEEKS, 0)
    moves = calendar(counted[since:], made[since:observed], known[since:], known_sd, rng)
    effect = moves.ahead
    if observed < SHORT:
        middle = np.median(effect, axis=0)
        effect = middle + np.sqrt(WIDENED) * (effect - middle)
    names, codes = named(history, segments)
    rates = expected_weeks(model, draws, history, codes, len(names), weeks)
    rates = rates[:, rng.permutation(len(effect)) % rates.shape[1]]
    excess = overdispersion(model, draws, history, weeks, rng)
    total = rates[0]
    frailty = gamma_of_mean_1(excess / total.sum(axis=1), rng)[:, None]
    plain = rng.poisson(total * frailty)
    purchases = rng.poisson(np.minimum(total * frailty * np.exp(effect), 1e15))
    parts = shared(purchases, rates[1:], excess, rng)
    ends = [as_of + timedelta(weeks=k) for k in range(1, weeks + 1)]
    basis = Basis(len(history), mark("customers"), as_of - timedelta(days=7 * observed - 1), as_of)
    return CompanyForecast(
        table=interval_table(ends, purchases, plain),
        basis=basis,
        past=pd.DataFrame(
            {
                "ends": [as_of - timedelta(weeks=k) for k in range(observed - 1, -1, -1)],
                "repeats": counted,
                "expected": made[:observed],
            }
        ),
        draws=purchases,
        segment_names=names,
        segment_customers=np.bincount(codes, minlength=len(names)),
        segment_draws=parts,
        observed_weeks=observed,
        widened=observed < SHORT,
        campaign_effect=moves.coefficients[:, 6 + fresh.shape[1] :].ravel(),
        planned_reach=float(reach[observed:].max(initial=0.0)),
    )


def margin(
    forecast: CompanyForecast, order_value: np.ndarray, *, annual_discount_rate: float, margin_share: float
) -> np.ndarray:
    """Draws of the discounted margin of all purchases forecast, in currency.

    Parameters
    ----------
    forecast
        Purchases by draw and week; a week's fall in its middle.
    order_value
        (k,) draws of the mean value of a repeat purchase, paired with the forecast's draws in turn.
    annual_discount_rate, margin_share
        As in the parameters.
    """
    years = (forecast.table["week"].to_numpy() - 0.5) / YEAR
    worth = (forecast.draws / (1 + annual_discount_rate) ** years).sum(axis=1)
    return worth * np.resize(order_value, len(worth)) * margin_share


def repeats_before(orders: ibis.Table, as_of: date, weeks: int) -> np.ndarray:
    """(weeks,) repeat purchases in each of the last whole weeks up to `as_of`, oldest first."""
    seen = orders.filter(orders.date <= ibis.literal(as_of)).select("customer_id", "date").distinct()
    later = seen.mutate(first=seen.date.min().over(group_by="customer_id")).filter(lambda t: t.date > t.first)
    back = (ibis.literal(as_of).delta(later.date, unit="day") / 7).floor().cast("int64")
    counted = later.mutate(back=back).group_by("back").agg(repeats=lambda t: t.count()).to_pandas()
    return counted.set_index("back")["repeats"].reindex(range(weeks), fill_value=0).to_numpy(float)[::-1]


def given_acquisition(
    model: PurchaseModel, draws: Arrays, history: pd.DataFrame, ahead: int
) -> tuple[np.ndarray, np.ndarray]:
    """What the model expects of each week, past and ahead, given only when customers came; and how fresh they are.

    Returns
    -------
    tuple
        expected (weeks,): purchases, oldest week first;
        fresh (weeks, 2): mean of exp(−age/τ) over those purchases, τ as in `FRESH`.
    """
    past = int(history["T"].max())
    by_age = acquired(model, draws, history, longest=history["T"].max() + ahead)
    T, customers = np.unique(history["T"].to_numpy(float), return_counts=True)
    age = np.maximum(T[:, None] + np.arange(-past, ahead + 1), 0.0)
    made = customers[:, None] * np.maximum(np.diff(by_age(age), axis=1), 0.0)
    expected = made.sum(axis=0)
    fresh = [(made * np.exp(-age[:, :-1] / tau)).sum(axis=0) / np.maximum(expected, 1e-9) for tau in FRESH]
    return expected, np.column_stack(fresh)


def acquired(model: PurchaseModel, draws: Arrays, history: pd.DataFrame, *, longest: float) -> PchipInterpolator:
    """Repeat purchases expected of a customer by the age of so many weeks, known by nothing but the first purchase."""
    new, some, ages = just_acquired(history), kept(draws, SAMPLED_DRAWS), longest * np.linspace(0, 1, AGES) ** 2
    return PchipInterpolator(ages, [0.0, *(model.expected_purchases(some, new, age)[0].mean() for age in ages[1:])])


def expected_weeks(
    model: PurchaseModel, draws: Arrays, history: pd.DataFrame, codes: np.ndarray, groups: int, weeks: int
) -> np.ndarray:
    """Purchases that the company's customers, and each group of them, are expected to make in each week ahead.

    Totals at the end of the horizon are those of each draw; how they spread over the weeks is taken from the draws'
    mean parameters, at `KNOTS` points and monotone between them. Distinct rows are evaluated once, in blocks.

    Returns
    -------
    numpy.ndarray
        (1 + groups, draws, weeks): the company, then the groups; fewer draws where there are many distinct customers.
        The company is summed by itself, so that naming groups changes nothing about it, not even by rounding.
    """
    at = history.groupby(model.read, sort=True).ngroup().to_numpy()
    rows = history.iloc[np.unique(at, return_index=True)[1]].reset_index(drop=True)
    counts = np.zeros((len(rows), groups))
    np.add.at(counts, (at, codes), 1.0)
    integrals = len(rows.drop_duplicates(list(model.given_alive))) if model.given_alive else len(rows)
    number = int(np.clip(EVALUATIONS // integrals, FEWEST_DRAWS, len(next(iter(draws.values())))))
    some = kept(draws, number)
    middle = {name: np.atleast_1d(values.mean()) for name, values in draws.items()}
    knots = np.unique(weeks * np.linspace(0, 1, KNOTS + 1) ** 1.5)

    def summed(parameters: Arrays, horizon: float) -> np.ndarray:
        width = len(next(iter(parameters.values())))
        total = np.zeros((1 + groups, width))
        for start in range(0, len(rows), CELLS // width):
            block = slice(start, start + CELLS // width)
            _, (each,) = expected(model, parameters, rows.iloc[block], horizon, (0.0,))
            total[0] += (counts[block].sum(axis=1)[:, None] * each).sum(axis=0)
            total[1:] += np.einsum("rg,rd->gd", counts[block], each)
        return total

    course = np.stack([np.zeros(1 + groups), *(summed(middle, k)[:, 0] for k in knots[1:])])
    weekly = np.diff(PchipInterpolator(knots, course)(np.arange(weeks + 1.0)), axis=0)
    return (weekly / np.maximum(course[-1], 1e-300)).T[:, None] * summed(some, float(weeks))[:, :, None]


def overdispersion(
    model: PurchaseModel, draws: Arrays, history: pd.DataFrame, weeks: int, rng: np.random.Generator
) -> float:
    """Variance of a total of purchases over its mean, given the parameters, less 1: 0 for Poisson.

    From the predictive counts of customers evenly spaced by x.
    """
    ranked = history.sort_values(["x", "t_x", "T"], kind="stable")
    where = np.unique(np.linspace(0, len(ranked) - 1, min(SAMPLED, len(ranked))).round().astype(int))
    rows, some = ranked.iloc[where], kept(draws, SAMPLED_DRAWS)
    drawn = model.future_purchases(some, rows, weeks, rng)
    mean = model.expected_purchases({k: np.atleast_1d(v.mean()) for k, v in draws.items()}, rows, weeks)[0]
    return max(float(((drawn - mean) ** 2).mean(axis=1).sum() / mean.sum()) - 1, 0.0)


def gamma_of_mean_1(variance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gamma variables of mean 1 and the given variances; 1 where the variance is 0."""
    shape = 1 / np.maximum(variance, 1e-9)
    return np.where(variance > 0, rng.gamma(shape) / shape, 1.0)


def shared(purchases: np.ndarray, expected: np.ndarray, excess: float, rng: np.random.Generator) -> np.ndarray:
    """Purchases (draws, weeks) shared among groups by their expected (groups, draws, weeks); each draw stays whole."""
    if len(expected) == 1:
        return purchases[None]
    own = gamma_of_mean_1(excess / np.maximum(expected.sum(axis=2), 1e-9), rng)
    rates = np.moveaxis(expected * own[:, :, None], 0, 2) + 1e-300
    return np.moveaxis(rng.multinomial(purchases, rates / rates.sum(axis=2, keepdims=True)), 2, 0)


def named(history: pd.DataFrame, segments: pd.Series | None) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the segments, sorted, and each customer's place among them."""
    if segments is None:
        return (mark("all customers"),), np.zeros(len(history), dtype=int)
    given = segments.groupby(segments.index.astype(str)).first()
    each = given.reindex(history["customer_id"]).astype(object).where(lambda s: s.notna(), mark("no segment"))
    names, codes = np.unique(each.astype(str).to_numpy(dtype=str), return_inverse=True)
    return tuple(str(n) for n in names), codes


def campaign_faults(campaigns: pd.DataFrame | None) -> list[Fault]:
    """Everything that is wrong with a table of campaigns."""
    if campaigns is None:
        return []
    found = [Fault(c, "this column of campaigns is missing") for c in ("start", "end", "reach") if c not in campaigns]
    if found:
        return found
    reach = pd.to_numeric(campaigns["reach"], errors="coerce")
    if bad := int((~reach.between(0, 1)).sum()):
        found.append(Fault("reach", f"{bad} outside 0 to 1; expected the share of the base contacted"))
    start, end = (pd.to_datetime(campaigns[c], errors="coerce") for c in ("start", "end"))
    if bad := int((~(start <= end)).sum()):
        found.append(Fault("end", f"{bad} missing, or before the start"))
    return found


def contacted(campaigns: pd.DataFrame | None, as_of: date, past: int, ahead: int) -> np.ndarray:
    """(past + ahead weeks, 1): share of the base contacted × share of the week's days, all campaigns added.

    No column where no campaign falls within these weeks.
    """
    reach = np.zeros(past + ahead)
    for row in [] if campaigns is None else campaigns.to_dict("records"):
        first = (pd.Timestamp(row["start"]).date() - as_of).days - 1 + 7 * past
        last = (pd.Timestamp(row["end"]).date() - as_of).days - 1 + 7 * past
        edges = 7 * np.arange(past + ahead)
        days = np.clip(np.minimum(last + 1, edges + 7) - np.maximum(first, edges), 0, 7)
        reach += float(row["reach"]) * days / 7
    return reach[:, None] if reach.any() else np.zeros((past + ahead, 0))
