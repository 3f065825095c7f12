-- One row an order, as crmlab.base.orders makes it; its channel is that of most of its lines, ties by name.
CREATE TEMP TABLE orders AS
WITH gathered AS (
  SELECT customer_id, order_id, min(date) AS date, sum(amount)::DECIMAL(18, 4) AS amount,
    sum(coupon_discount)::DECIMAL(18, 4) AS coupon_discount, min(channel) AS channel, max(channel) AS other,
    count(*) AS lines
  FROM transactions GROUP BY customer_id, order_id HAVING sum(amount) >= 0),
counted AS (
  SELECT customer_id, order_id, channel AS main, count(*) AS n
  FROM transactions SEMI JOIN (SELECT customer_id, order_id FROM gathered WHERE channel < other)
    USING (customer_id, order_id)
  WHERE channel IS NOT NULL GROUP BY ALL),
ranked AS (
  SELECT customer_id, order_id, main,
    row_number() OVER (PARTITION BY customer_id, order_id ORDER BY n DESC, main) AS place
  FROM counted)
SELECT gathered.customer_id, gathered.order_id, date, amount, coupon_discount, coalesce(main, channel) AS channel, lines
FROM gathered LEFT JOIN (FROM ranked WHERE place = 1) AS ranked USING (customer_id, order_id)
