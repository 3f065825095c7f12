"""A small company whose truth is known: who they are, how often they buy, when they leave, how they respond.

Purchases follow the BG/NBD model of Fader, Hardie and Lee (2005, "Counting your customers the easy way", Marketing
Science 24(2)): rates are gamma distributed over customers, and after each purchase a customer leaves with a probability
that is beta distributed. The money of an order is gamma distributed around a customer's mean, itself inverse gamma
(Fader and Hardie 2013, the Gamma-Gamma model). Neither depends on the covariates nor on campaigns. Whether a contacted
customer responds depends, where heterogeneity is planted, on the visible flag ``club`` alone.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import Field

from crmlab.contract import Params, Sentence, generator
from crmlab.data.raw import Raw, hold

START = date(2023, 1, 2)
WITHIN_DAYS = 28
"""Responses come 1 to this many days after the contact."""


class Options(Params):
    """Options of the source ``simulated``."""

    n_customers: int = Field(default=2000, ge=10, le=1_000_000)
    """Customers ever acquired."""
    weeks: int = Field(default=104, ge=16)
    """Weeks covered, from Monday 2023-01-02."""
    seed: int = 1
    """Seed of this world; another seed, another company of the same kind."""
    acquired_weeks: int = Field(default=26, ge=1)
    """First purchases are spread evenly over so many weeks from the start."""
    first_campaign_week: int = Field(default=32, ge=1)
    """Week of the first campaign."""
    campaign_every_weeks: int = Field(default=8, ge=1)
    """Weeks between campaigns; the last one's answers fall within the data."""
    randomised: bool = True
    """Whether a control group is withheld at random; else the better half by purchases so far is mailed."""
    control_share: float = Field(default=0.5, gt=0, lt=1)
    """Share of the control group."""
    heterogeneity: Literal["none", "level", "effect"] = "none"
    """What the flag `club` moves: nothing, the response rate, or the effect of a contact."""
    rate: float = Field(default=0.10, ge=0, le=0.5)
    """Response probability without contact, of those outside the club."""
    effect: float = Field(default=0.0, ge=0, le=0.4)
    """What a contact adds to it, for everybody."""
    club_level: float = Field(default=0.30, ge=0, le=0.4)
    """With ``level``: what the club adds to the response probability, contacted or not."""
    club_effect: float = Field(default=0.25, ge=0, le=0.4)
    """With ``effect``: what the club adds to the effect of a contact."""
    club_share: float = Field(default=0.5, gt=0, lt=1)
    """Share of customers in the club."""
    r: float = Field(default=0.8, gt=0)
    """Shape of the purchase rates."""
    alpha: float = Field(default=6.0, gt=0)
    """Rate of the purchase rates, in weeks."""
    a: float = Field(default=0.8, gt=0)
    """First parameter of the probability of leaving after a purchase."""
    b: float = Field(default=6.0, gt=0)
    """Second parameter of it."""


@dataclass(frozen=True)
class Truth:
    """What was planted.

    Parameters
    ----------
    customers
        One row a customer: ``customer_id, club, rate_weekly`` (purchases a week while there), ``p_leave`` (after each
        purchase), ``acquired_on, left_on`` (missing: still there at the end), ``mean_value``,
        ``response_control, response_mailed`` (probabilities), ``effect`` (their difference).
    campaigns
        ``campaign_id, sent_at``.
    """

    customers: pd.DataFrame
    campaigns: pd.DataFrame


def read(con: ibis.BaseBackend, options: Options) -> Raw:
    """The simulated company's tables under canonical names."""
    world = truth(options)
    rows = {
        "transactions": _transactions(options, world),
        "customers": _customers(options, world),
    }
    rows["contacts"] = _contacts(options, world, rows["transactions"])
    rows["outcomes"] = _outcomes(options, world, rows["contacts"])
    tables = {
        name: hold(con, f"simulated_{name}", pa.Table.from_pandas(frame, preserve_index=False))
        for name, frame in rows.items()
        if len(frame)
    }
    notes = (Sentence("These data are simulated: nobody in them exists, and what is true of them is known."),)
    return Raw(tables, START + timedelta(days=7 * options.weeks - 1), notes)


def truth(options: Options) -> Truth:
    """The planted truth of the world of `options`: the same at every call."""
    n = options.n_customers
    draw = generator(options.seed, "simulated", "customers")
    club = draw.random(n) < options.club_share
    rate = draw.gamma(options.r, 1 / options.alpha, n)
    p_leave = draw.beta(options.a, options.b, n)
    value = 30 * 5 / draw.gamma(6.0, 1.0, n)
    acquired = draw.integers(0, 7 * min(options.acquired_weeks, options.weeks), n)
    level = options.rate + club * (options.club_level if options.heterogeneity == "level" else 0.0)
    effect = options.effect + club * (options.club_effect if options.heterogeneity == "effect" else 0.0)
    times = _purchase_days(options, rate, p_leave, acquired)
    last = np.array([t.max() for t in np.split(times[1], np.searchsorted(times[0], np.arange(1, n)))])
    customers = pd.DataFrame(
        {
            "customer_id": _ids(n),
            "club": club.astype("int64"),
            "rate_weekly": rate,
            "p_leave": p_leave,
            "acquired_on": _days(acquired),
            "left_on": pd.Series(_days(last)).where(times[2]),
            "mean_value": value,
            "response_control": level,
            "response_mailed": level + effect,
            "effect": effect,
        }
    )
    weeks = range(options.first_campaign_week, options.weeks - WITHIN_DAYS // 7, options.campaign_every_weeks)
    campaigns = pd.DataFrame(
        {
            "campaign_id": [f"s{k:02d}" for k in range(1, len(weeks) + 1)],
            "sent_at": _days(np.array([7 * w for w in weeks], dtype=np.int64)),
        }
    )
    return Truth(customers, campaigns)


def _purchase_days(
    options: Options, rate: np.ndarray, p_leave: np.ndarray, acquired: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Purchases as (customer's position, day) sorted by both, and who has left by the end.

    As in the BG/NBD model the first purchase is at `acquired`, and each *repeat* purchase is followed by leaving with
    probability `p_leave`; waiting times are exponential with `rate` a week.
    """
    draw = generator(options.seed, "simulated", "purchases")
    end = 7.0 * options.weeks
    now, who = acquired.astype(float), np.arange(len(rate))
    positions, days = [who], [acquired]
    left = np.zeros(len(rate), dtype=bool)
    while len(who):
        now = now + draw.exponential(7 / rate[who])
        leaves = draw.random(len(who)) < p_leave[who]
        inside = now < end
        positions.append(who[inside])
        days.append(now[inside].astype(np.int64))
        left[who[inside & leaves]] = True
        stays = inside & ~leaves
        now, who = now[stays], who[stays]
    position, day = np.concatenate(positions), np.concatenate(days)
    order = np.lexsort((day, position))
    return position[order], day[order], left


def _transactions(options: Options, world: Truth) -> pd.DataFrame:
    """One line an order: several purchases of a day stay several orders."""
    known = world.customers
    acquired = (known["acquired_on"] - pd.Timestamp(START)).dt.days.to_numpy()
    position, day, _ = _purchase_days(options, known["rate_weekly"].to_numpy(), known["p_leave"].to_numpy(), acquired)
    draw = generator(options.seed, "simulated", "baskets")
    n = len(position)
    amount = known["mean_value"].to_numpy()[position] / 4 * draw.gamma(4.0, 1.0, n)
    amount = np.maximum(np.round(amount, 2), 0.01)
    return pd.DataFrame(
        {
            "customer_id": known["customer_id"].to_numpy()[position],
            "date": _days(day),
            "amount": amount,
            "order_id": [f"o{k:07d}" for k in range(1, n + 1)],
            "channel": np.where(draw.random(n) < 0.6, "store", "web"),
            "margin": np.round(0.3 * amount, 2),
            "category": draw.choice(["home", "garden", "kitchen", "toys"], n, p=[0.4, 0.3, 0.2, 0.1]),
        }
    )


def _customers(options: Options, world: Truth) -> pd.DataFrame:
    """Covariates: `club` may matter for responses; region, age (a tenth missing) and newsletter never do."""
    draw = generator(options.seed, "simulated", "covariates")
    n = options.n_customers
    age = np.clip(np.round(draw.normal(46, 14, n)), 18, 90)
    return pd.DataFrame(
        {
            "customer_id": world.customers["customer_id"],
            "club": world.customers["club"],
            "region": draw.choice(["centre", "north", "south"], n, p=[0.3, 0.45, 0.25]),
            "age": np.where(draw.random(n) < 0.1, np.nan, age),
            "newsletter": (draw.random(n) < 0.35).astype("int64"),
        }
    )


def _contacts(options: Options, world: Truth, transactions: pd.DataFrame) -> pd.DataFrame:
    """Everybody acquired before the campaign, mailed or withheld; not randomised: the better half, mailed."""
    draw = generator(options.seed, "simulated", "arms")
    known = world.customers
    parts = []
    for campaign in world.campaigns.itertuples():
        there = (known["acquired_on"] < campaign.sent_at).to_numpy()
        chance = draw.random(len(known))
        if options.randomised:
            arm = np.where(chance < options.control_share, "control", "mailed")
        else:
            before = transactions[transactions["date"] < campaign.sent_at]
            spent = before.groupby("customer_id")["amount"].sum().reindex(known["customer_id"]).fillna(0.0).to_numpy()
            there = there & (spent >= np.median(spent[there]))
            arm = np.full(len(known), "mailed")
        parts.append(
            pd.DataFrame(
                {
                    "customer_id": known["customer_id"].to_numpy()[there],
                    "campaign_id": campaign.campaign_id,
                    "arm": arm[there],
                    "sent_at": campaign.sent_at,
                    "channel": "email",
                    "cost": np.where(arm[there] == "control", 0.0, 0.5),
                }
            )
        )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _outcomes(options: Options, world: Truth, contacts: pd.DataFrame) -> pd.DataFrame:
    """A row for every response of somebody in a campaign, contacted or withheld."""
    if contacts.empty:
        return contacts
    draw = generator(options.seed, "simulated", "responses")
    known = world.customers.set_index("customer_id").loc[contacts["customer_id"]]
    mailed = (contacts["arm"] != "control").to_numpy()
    chance = np.where(mailed, known["response_mailed"], known["response_control"])
    responds = draw.random(len(contacts)) < chance
    after = pd.to_timedelta(draw.integers(1, WITHIN_DAYS + 1, len(contacts)), unit="D")
    rows = contacts[["customer_id", "campaign_id"]].assign(date=contacts["sent_at"] + after, response=1)
    return rows[responds].reset_index(drop=True)


def _ids(n: int) -> list[str]:
    width = max(5, len(str(n)))
    return [f"c{k:0{width}d}" for k in range(1, n + 1)]


def _days(offsets: np.ndarray) -> pd.DatetimeIndex:
    """Days since the start as dates (datetime64, seconds)."""
    return pd.DatetimeIndex(np.datetime64(START, "s") + offsets.astype("timedelta64[D]"))
