-- Customers first seen in one month who order in another, and in the month after that: what the rates by period and by
-- cohort are made of.
WITH each_month AS (
  SELECT DISTINCT customer_id, (year(date) * 12 + month(date) - 1)::INT AS p FROM orders WHERE date <= $as_of),
stepped AS (
  SELECT p, first(p) OVER inside AS first, lead(p) OVER inside AS next
  FROM each_month WINDOW inside AS (PARTITION BY customer_id ORDER BY p))
SELECT first, p, count(*) AS active, coalesce(sum((next = p + 1)::INT), 0) AS returned
FROM stepped GROUP BY ALL ORDER BY ALL
