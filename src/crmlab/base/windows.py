"""The outcome window of each contact, and what falls within it.

The window of a contact is days 1 to `window_days`, day 1 being `sent_at` itself: ``sent_at`` to
``sent_at + window_days - 1``, both included.
"""

import ibis

CONTROL = "control"
"""The arm of customers withheld at random from contact."""


def reached(contacts: ibis.Table, window_days: int) -> ibis.Table:
    """One row a customer × campaign: first contact, its arm, the last day of its window, rows and arms it came from."""
    if "direction" in contacts.columns:
        contacts = contacts.filter(contacts.direction.fill_null("outbound") != "inbound")
    rows = contacts.select(
        customer_id=contacts.customer_id.cast("string"),
        campaign_id=contacts.campaign_id.cast("string"),
        arm=contacts.arm.cast("string"),
        sent_at=contacts.sent_at.cast("date"),
    )
    same = ibis.window(group_by=["customer_id", "campaign_id"])
    first = ibis.window(group_by=["customer_id", "campaign_id"], order_by=["sent_at", "arm"])
    ranked = rows.mutate(
        place=ibis.row_number().over(first), rows=rows.count().over(same), arms=rows.arm.nunique().over(same)
    )
    once = ranked.filter(ranked.place == 0).drop("place")
    return once.mutate(closes=(once.sent_at + ibis.interval(days=window_days - 1)).cast("date"))


def bought(reached: ibis.Table, orders: ibis.Table) -> ibis.Table:
    """Orders, their amount and margin within each window; only customers with an order."""
    money = {"spend": "amount"} | ({"margin": "margin"} if "margin" in orders.columns else {})
    bought = orders.select(
        "customer_id", "date", **{new: orders[old].cast("decimal(18,4)") for new, old in money.items()}
    )
    within = reached.join(
        bought,
        [
            reached.customer_id == bought.customer_id,
            bought.date >= reached.sent_at,
            bought.date <= reached.closes,
        ],
    ).select(customer_id=reached.customer_id, campaign_id=reached.campaign_id, **{m: bought[m] for m in money})
    sums = {m: within[m].sum() for m in money}
    return within.group_by("customer_id", "campaign_id").agg(orders=within.count(), **sums)


def answered(reached: ibis.Table, outcomes: ibis.Table) -> ibis.Table:
    """Customers × campaigns with a response within the window."""
    positive = outcomes.filter(outcomes.response > 0).select("customer_id", "campaign_id", "date")
    within = reached.join(
        positive,
        [
            reached.customer_id == positive.customer_id,
            reached.campaign_id == positive.campaign_id,
            positive.date >= reached.sent_at,
            positive.date <= reached.closes,
        ],
    ).select(customer_id=reached.customer_id, campaign_id=reached.campaign_id)
    return within.distinct().mutate(response=ibis.literal(1, "int64"))
