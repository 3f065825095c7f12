"""Every built-in trait once more, in plain pandas, from plain frames: for comparison."""

from datetime import date, timedelta

import numpy as np
import pandas as pd


def by_hand(tables: dict[str, pd.DataFrame], as_of: date) -> pd.DataFrame:
    """One row a customer, indexed by customer_id."""
    end = pd.Timestamp(as_of)
    lines = tables["transactions"]
    orders = orders_of(lines)
    who = set(orders["customer_id"]) | set(tables.get("customers", orders)["customer_id"])
    out = pd.DataFrame(index=pd.Index(sorted(who), name="customer_id"))
    buying(out, orders, end)
    baskets(out, orders, lines, end)
    if "contacts" in tables:
        contacting(out, tables["contacts"], tables.get("outcomes"), end)
    if "texts" in tables:
        texts = tables["texts"].groupby("customer_id")["date"]
        out["texts_52w"] = last(tables["texts"], "date", end, 52).groupby("customer_id").size()
        out["days_since_text"] = (end - texts.max()).dt.days
    if "survey" in tables:
        survey = tables["survey"].dropna(subset=["score"])
        for (who, item), rows in survey.groupby(["customer_id", "item"]):
            if who in out.index:
                out.loc[who, f"survey_{item}"] = rows.loc[rows["date"] == rows["date"].max(), "score"].mean()
    zero = ["frequency", "monetary", "orders_13w", "spend_13w", "categories", "channels_used", "coupon_orders_17w"]
    zero += ["coupon_ever", "contacts_26w", "responses_26w", "texts_52w"]
    return out.fillna({c: 0 for c in zero if c in out})


def last(frame: pd.DataFrame, column: str, end: pd.Timestamp, weeks: int) -> pd.DataFrame:
    return frame[(frame[column] > end - timedelta(weeks=weeks)) & (frame[column] <= end)]


def most(frame: pd.DataFrame, column: str) -> pd.Series:
    n = frame.groupby(["customer_id", column]).size().rename("n").reset_index()
    return (
        n.sort_values(["n", column], ascending=[False, True])
        .drop_duplicates("customer_id")
        .set_index("customer_id")[column]
    )


def orders_of(lines: pd.DataFrame) -> pd.DataFrame:
    lines = lines.copy()
    if "order_id" not in lines:
        lines["order_id"] = None
    lines["order_id"] = lines["order_id"].fillna("day " + lines["date"].dt.strftime("%Y-%m-%d"))
    lines["lines"] = 1
    keys = ["customer_id", "order_id"]
    sums = [c for c in ("amount", "coupon_discount", "lines") if c in lines]
    orders = lines.groupby(keys)[sums].sum().round(4)
    orders["date"] = lines.groupby(keys)["date"].min()
    if "channel" in lines:
        n = lines.groupby([*keys, "channel"]).size().rename("n").reset_index()
        n = n.sort_values(["n", "channel"], ascending=[False, True]).drop_duplicates(keys)
        orders["channel"] = n.set_index(keys)["channel"]
    orders = orders.reset_index()
    return orders[orders["amount"] >= 0]


def buying(out: pd.DataFrame, orders: pd.DataFrame, end: pd.Timestamp) -> None:
    each = orders.groupby("customer_id")
    out["recency_days"] = (end - each["date"].max()).dt.days
    out["frequency"] = each.size()
    out["monetary"] = each["amount"].sum()
    recent = last(orders, "date", end, 13).groupby("customer_id")
    out["orders_13w"], out["spend_13w"] = recent.size(), recent["amount"].sum().round(4)
    out["mean_order_value"] = each["amount"].mean()
    out["tenure_days"] = (end - each["date"].min()).dt.days
    before = last(orders, "date", end - timedelta(weeks=13), 13).groupby("customer_id")["amount"].sum().round(4)
    ratio = (out["spend_13w"] / before.where(before > 0)).reindex(out.index)
    out["spend_trend"] = np.log(ratio.where(ratio > 0))
    if orders.empty or orders["date"].min() > end - timedelta(weeks=26):
        out["spend_trend"] = np.nan
    out["weekend_share"] = orders["date"].dt.day_of_week.isin([5, 6]).groupby(orders["customer_id"]).mean()
    days = orders.groupby(["customer_id", "date"])["amount"].sum().reset_index().sort_values("date")
    by = days.groupby("customer_id")
    first, later = by.head(1).set_index("customer_id"), days.drop(by.head(1).index).groupby("customer_id")
    out["x"] = by.size() - 1.0
    repeats = out["x"].where(out["x"] > 0)
    out["t_x"] = (by["date"].max() - first["date"]).dt.days / 7
    out["T"] = (end - first["date"]).dt.days / 7
    out["z_bar"] = later["amount"].sum() / repeats
    out["ipt_mean_days"] = out["t_x"] * 7 / repeats
    for letter, values in (("r", -out["recency_days"]), ("f", out["frequency"]), ("m", out["monetary"].round(4))):
        known = values.dropna()
        out[f"{letter}_score"] = 1 + np.floor(5 * (known.rank(method="min") - 1) / len(known))


def baskets(out: pd.DataFrame, orders: pd.DataFrame, lines: pd.DataFrame, end: pd.Timestamp) -> None:
    each = orders.groupby("customer_id")
    out["items_per_order"] = each["lines"].mean()
    if "category" in lines:
        n = lines.groupby(["customer_id", "category"]).size().unstack(fill_value=0)
        share = n.div(n.sum(axis=1), axis=0).to_numpy()
        entropy = -np.where(share > 0, share * np.log(np.where(share > 0, share, 1)), 0).sum(axis=1)
        out["categories"] = (n > 0).sum(axis=1)
        out["category_entropy"] = pd.Series(entropy / np.log(max(n.shape[1], 2)), n.index)
        out["top_category"] = most(lines, "category")
    if "channel" in orders:
        out["channel"] = most(orders, "channel")
        out["channels_used"] = each["channel"].nunique()
    if "coupon_discount" in orders:
        orders = orders.assign(used=orders["coupon_discount"].fillna(0) > 0)
        each = orders.groupby("customer_id")
        used = orders[orders["used"]]
        out["coupon_orders_17w"] = last(used, "date", end, 17).groupby("customer_id").size()
        out["coupon_ever"] = each["used"].max().astype(float)
        out["coupon_share"] = each["used"].mean()
        whole = (each["coupon_discount"].sum() + each["amount"].sum()).round(4)
        out["discount_share"] = each["coupon_discount"].sum() / whole.where(whole > 0)
    back = lines["amount"].clip(upper=0).abs().groupby(lines["customer_id"]).sum()
    taken = lines["amount"].clip(lower=0).groupby(lines["customer_id"]).sum()
    out["returns_share"] = back / taken.where(taken > 0) if (lines["amount"] < 0).any() else np.nan


def contacting(out: pd.DataFrame, contacts: pd.DataFrame, outcomes: pd.DataFrame | None, end: pd.Timestamp) -> None:
    reached = contacts[contacts["arm"] != "control"]
    if "direction" in reached:
        reached = reached[reached["direction"].fillna("outbound") != "inbound"]
    out["contacts_26w"] = last(reached, "sent_at", end, 26).groupby("customer_id").size()
    out["days_since_contact"] = (end - reached.groupby("customer_id")["sent_at"].max()).dt.days
    if outcomes is None:
        return
    answers = outcomes[outcomes["response"] > 0]
    out["responses_26w"] = last(answers, "date", end, 26).groupby("customer_id")["campaign_id"].nunique()
    out["last_response_days"] = (end - answers.groupby("customer_id")["date"].max()).dt.days
    keys = ["customer_id", "campaign_id"]
    sent = last(reached.groupby(keys)["sent_at"].min().reset_index(), "sent_at", end, 52)
    both = sent.merge(answers.groupby(keys)["date"].max().reset_index(), how="left", on=keys)
    out["response_rate_52w"] = (both["date"] >= both["sent_at"]).groupby(both["customer_id"]).mean()
