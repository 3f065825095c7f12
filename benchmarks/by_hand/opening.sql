-- Whether customers are seen to come: who is seen in the first 8 weeks, who first in the second half, and how many in
-- the stretches of 8 weeks of the second half.
WITH span AS (SELECT min(date) AS start, ($as_of - min(date) + 1) AS days FROM orders WHERE date <= $as_of),
firsts AS (SELECT min(date) AS first FROM orders WHERE date <= $as_of GROUP BY customer_id),
stretches AS (
  SELECT DISTINCT customer_id, ($as_of - date) // 56 AS stretch FROM orders, span
  WHERE date <= $as_of AND ($as_of - date) // 56 < ($as_of - start - days // 2 + 1) // 56)
SELECT count(*) AS n, count(*) FILTER (first < start + 56) AS early,
  count(*) FILTER (first >= start + (days // 2)::INT) AS new, (SELECT count(*) FROM stretches) AS busy
FROM firsts, span
