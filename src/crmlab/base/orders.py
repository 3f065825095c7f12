"""Orders: what a customer bought in one go, out of the lines that were recorded.

What counts as an order is decided here and nowhere else: lines whose amounts add up to zero or more. A basket paid
wholly by coupons, or a free item, is an order of value 0: the customer came, and the published models of buying count
such purchases (CDNOW's 23,570 customers hold 68 who never paid). A basket that adds up to less than zero is a return on
its own and no purchase: `returns` holds those, and the summary counts them apart. Amounts are net of returns in the
canonical table, so a return booked within its order only lowers it.
"""

import ibis

MONEY = "decimal(18, 4)"


def orders(transactions: ibis.Table) -> ibis.Table:
    """One row an order, lazily.

    Parameters
    ----------
    transactions
        Canonical lines: customer_id, date, amount; order_id, margin, coupon_discount, channel where there.

    Returns
    -------
    ibis.Table
        customer_id, order_id, date (that of the first line), amount decimal(18, 4), [margin], [coupon_discount],
        [channel: that of most lines, ties by name], lines (int64). Without order_id, or where it is missing, a
        customer's lines of one day are one order. The same order_id of two customers is two orders.
    """
    gathered = _gather(transactions)
    return gathered.filter(gathered.amount >= 0)


def returns(transactions: ibis.Table) -> ibis.Table:
    """The baskets that are no orders because their amount is below zero; columns as `orders`."""
    gathered = _gather(transactions)
    return gathered.filter(gathered.amount < 0)


def _gather(t: ibis.Table) -> ibis.Table:
    day = ibis.literal("day ") + t.date.strftime("%Y-%m-%d")
    t = t.mutate(order_id=t.order_id.cast("string").fill_null(day) if "order_id" in t.columns else day)
    totals = {"date": t.date.min(), "amount": t.amount.cast(MONEY).sum().cast(MONEY)}
    for name in ("margin", "coupon_discount"):
        if name in t.columns:
            totals[name] = t[name].cast(MONEY).sum().cast(MONEY)
    keys = ["customer_id", "order_id"]
    if "channel" in t.columns:
        totals |= {"channel": t.channel.min(), "other": t.channel.max()}
    gathered = t.group_by(keys).agg(**totals, lines=t.count())
    if "channel" in t.columns:
        gathered = _with_main_channel(gathered, t, keys)
    rest = [c for c in ("margin", "coupon_discount", "channel") if c in gathered.columns]
    return gathered.select(*keys, "date", "amount", *rest, "lines")


def _with_main_channel(gathered: ibis.Table, t: ibis.Table, keys: list[str]) -> ibis.Table:
    """Each order's channel: that of most of its lines, ties by name; missing where no line has one.

    Only orders whose lines have several are counted again: they are few.
    """
    several = gathered.filter(gathered.channel < gathered.other).select(*keys)
    lines = t.filter(t.channel.notnull()).semi_join(several, keys)
    counted = lines.group_by([*keys, "channel"]).agg(of=lines.count())
    ranked = counted.mutate(
        place=ibis.row_number().over(group_by=keys, order_by=[ibis.desc(counted.of), counted.channel])
    )
    main = ranked.filter(ranked.place == 0).select(*keys, main="channel")
    joined = gathered.left_join(main, keys)
    return joined.mutate(channel=ibis.coalesce(joined.main, joined.channel))
