-- Traits by hand: transactions(customer_id, date, amount, order_id, category, channel, coupon_discount) and orders
-- (one row an order, as crmlab.base.orders gives it) are there; $as_of is the day. 28 traits, one row a customer.
WITH
bought AS (
  SELECT customer_id, count(*) AS frequency, sum(amount) AS monetary, min(date) AS first_day, max(date) AS last_day,
    count(*) FILTER (date > $as_of - 91) AS orders_13w, sum(amount) FILTER (date > $as_of - 91) AS spend_13w,
    sum(amount) FILTER (date > $as_of - 182 AND date <= $as_of - 91) AS spend_before,
    count(*) FILTER (isodow(date) >= 6) AS weekend, sum(lines) AS lines,
    count(*) FILTER (coupon_discount > 0) AS coupons,
    count(*) FILTER (coupon_discount > 0 AND date > $as_of - 119) AS coupon_orders_17w,
    sum(coalesce(coupon_discount, 0)) AS off
  FROM orders GROUP BY customer_id),
days AS (
  SELECT customer_id, count(*) - 1 AS x, max(date) - min(date) AS span, sum(spent) - arg_min(spent, date) AS repeats
  FROM (SELECT customer_id, date, sum(amount)::DECIMAL(18, 4) AS spent FROM orders GROUP BY customer_id, date)
  GROUP BY customer_id),
scores AS (
  SELECT customer_id,
    1 + (rank() OVER (ORDER BY last_day) - 1) * 5 // count(*) OVER () AS r_score,
    1 + (rank() OVER (ORDER BY frequency) - 1) * 5 // count(*) OVER () AS f_score,
    1 + (rank() OVER (ORDER BY monetary) - 1) * 5 // count(*) OVER () AS m_score
  FROM bought),
tastes AS (
  SELECT customer_id, count(*) AS categories, min({'fewer': -n, 'category': category}).category AS top_category,
    round((ln(sum(n)) - sum((n * ln(n))::DECIMAL(38, 12))::DOUBLE / sum(n))
      / ln((SELECT greatest(count(DISTINCT category), 2) FROM transactions)), 9) AS category_entropy
  FROM (SELECT customer_id, category, count(*) AS n FROM transactions WHERE category IS NOT NULL GROUP BY ALL)
  GROUP BY customer_id),
places AS (
  SELECT customer_id, count(*) AS channels_used, min({'fewer': -n, 'channel': channel}).channel AS channel
  FROM (SELECT customer_id, channel, count(*) AS n FROM orders WHERE channel IS NOT NULL GROUP BY ALL)
  GROUP BY customer_id),
lines AS (
  SELECT customer_id,
    CASE WHEN (SELECT bool_or(amount < 0) FROM transactions) THEN coalesce(sum(-amount) FILTER (amount < 0), 0)
      / nullif((sum(amount) FILTER (amount > 0))::DOUBLE, 0) END AS returns_share
  FROM transactions GROUP BY customer_id)
SELECT bought.customer_id, ($as_of - last_day)::DOUBLE AS recency_days, frequency, monetary::DOUBLE AS monetary,
  orders_13w, coalesce(spend_13w, 0)::DOUBLE AS spend_13w, monetary::DOUBLE / frequency AS mean_order_value,
  span / nullif(x, 0) AS ipt_mean_days, ($as_of - first_day)::DOUBLE AS tenure_days,
  CASE WHEN (SELECT min(date) FROM orders) <= $as_of - 182 AND spend_13w > 0 AND spend_before > 0
    THEN ln(spend_13w::DOUBLE / spend_before::DOUBLE) END AS spend_trend,
  weekend::DOUBLE / frequency AS weekend_share, x::DOUBLE AS x, span / 7.0::DOUBLE AS t_x,
  ($as_of - first_day) / 7.0::DOUBLE AS "T", repeats::DOUBLE / nullif(x, 0) AS z_bar,
  r_score::DOUBLE AS r_score, f_score::DOUBLE AS f_score, m_score::DOUBLE AS m_score,
  lines::DOUBLE / frequency AS items_per_order, coalesce(categories, 0) AS categories, category_entropy, top_category,
  channel, coalesce(channels_used, 0) AS channels_used, coupon_orders_17w, (coupons > 0)::BIGINT AS coupon_ever,
  coupons::DOUBLE / frequency AS coupon_share, off::DOUBLE / nullif((off + monetary)::DOUBLE, 0) AS discount_share,
  returns_share
FROM bought JOIN days USING (customer_id) JOIN scores USING (customer_id) LEFT JOIN tastes USING (customer_id)
  LEFT JOIN places USING (customer_id) LEFT JOIN lines USING (customer_id)
ORDER BY customer_id
