-- Time between purchases by segment, as base/ipt.py tells it. Reads orders(customer_id, date), segments(customer_id, segment).
with days as (
    select distinct customer_id, date from orders where date <= $as_of
),
each_one as (
    select customer_id, count(*) - 1 as n, max(date) as last from days group by customer_id
),
placed as (
    select customer_id, coalesce(segment, '') as segment, n, (n + 1) * 100 < 1000 as few,
        date_diff('day', last, $as_of) as open, ((n + 1) * 900 + 999) // 1000 as wanted,
        (row_number() over (order by coalesce(segment, ''), customer_id) - 1) % 40 as grp
    from each_one left join segments using (customer_id)
),
steps as (
    select customer_id, date_diff('day', date, coalesce(lead(date) over w, $as_of)) as gap,
        lead(date) over w is not null as ended, date_diff('day', lead(date) over w, lead(date, 2) over w) as next_gap
    from days window w as (partition by customer_id order by date)
),
joined as materialized (
    select * from steps join placed using (customer_id)
),
counts as (
    select segment, grp, few, gap, ended, count(*) as n,
        sum((((gap - next_gap) / (2.0 * (gap + next_gap))) ** 2)::decimal(18, 12)) as spread,
        sum(((gap + next_gap - 2) / (12.0 * (gap + next_gap)))::decimal(18, 12)) as expected
    from joined group by segment, grp, few, gap, ended
),
own as (
    select segment, sum((below >= wanted)::int) as late, count(*) as judged
    from (
        select customer_id, any_value(segment) as segment, any_value(wanted) as wanted,
            sum((ended and gap < open)::int) as below
        from joined where not few group by customer_id
    )
    group by segment
),
every as (
    select 'all' as part, * from counts union all select segment, * from counts where segment <> ''
),
own_every as (
    select 'all' as part, sum(late) as late, sum(judged) as judged from own
    union all select segment, late, judged from own where segment <> ''
),
per_day as (
    select part, grp, gap, sum(n) as total, coalesce(sum(n) filter (ended), 0) as ended
    from every group by part, grp, gap
),
whole_day as (
    select part, gap, sum(total) as total, sum(ended) as ended from per_day group by part, gap
),
at_risk as (
    select part, gap, ended, sum(total) over (partition by part order by gap desc) as risk from whole_day
),
curve as (
    select part, gap, exp(sum(case when ended < risk then ln(1 - ended / risk) else -99 end)
        over (partition by part order by gap)) as waiting
    from at_risk
),
grid as (
    select w.part, g.grp, w.gap, w.ended - coalesce(d.ended, 0) as ended, w.total - coalesce(d.total, 0) as total
    from whole_day w join (select distinct part, grp from per_day) g using (part)
    left join per_day d on d.part = w.part and d.grp = g.grp and d.gap = w.gap
),
grid_risk as (
    select *, sum(total) over (partition by part, grp order by gap desc) as risk from grid
),
without as (
    select part, grp, gap, exp(sum(case when ended < risk then ln(1 - ended / risk) when risk > 0 then -99 else 0 end)
        over (partition by part, grp order by gap)) as waiting
    from grid_risk
),
se as (
    select part, gap, sqrt(39.0 * var_pop(ln(-ln(waiting)))) as se, count(*) as groups
    from without where waiting > 1e-12 and waiting < 1 - 1e-12 group by part, gap
),
band as (
    select c.part, c.gap, c.waiting,
        exp(-exp(ln(-ln(c.waiting)) + 1.6848751194973 * se)) as low, exp(-exp(ln(-ln(c.waiting)) - 1.6848751194973 * se)) as high
    from curve c left join se on se.part = c.part and se.gap = c.gap and c.waiting > 1e-12 and c.waiting < 1 - 1e-12 and groups = 40
    where exists (select 1 from whole_day w where w.part = c.part and w.gap = c.gap and w.ended > 0)
),
quantiles as (
    select part, min(gap) filter (waiting <= 0.75 + 1e-12) as q25, min(gap) filter (waiting <= 0.5 + 1e-12) as median,
        min(gap) filter (low <= 0.5 + 1e-12) as low, min(gap) filter (high <= 0.5 + 1e-12) as high,
        min(gap) filter (waiting <= 0.25 + 1e-12) as q75, min(gap) filter (waiting <= 0.1 + 1e-12) as q90
    from band group by part
),
few_day as (
    select gap, sum(n) as total, coalesce(sum(n) filter (ended), 0) as ended from counts where few group by gap
),
few_curve as (
    select gap, exp(sum(case when ended < risk then ln(1 - ended / risk) else -99 end) over (order by gap)) as waiting
    from (select *, sum(total) over (order by gap desc) as risk from few_day)
),
few_limit as (
    select min(gap) as days from few_curve where waiting <= 0.1 + 1e-12
),
plain as (
    select part, sum(n) filter (not ended) as customers, sum(n) filter (ended) as gaps,
        sum(gap * n) / sum(n) filter (ended) as days_per_purchase,
        sum(spread)::double / sum(expected)::double as ratio,
        coalesce(sum(n) filter (few and not ended and (select days from few_limit) is not null), 0) as few_judged,
        coalesce(sum(n) filter (few and not ended and gap > (select days from few_limit)), 0) as few_late
    from every group by part
)
select p.part as segment, p.customers, p.gaps, q.q25, q.median, q.low, q.high, q.q75, q.q90, p.days_per_purchase,
    sqrt(2 * ratio / (3 - least(ratio, 2.999))) as cv,
    (p.few_judged + coalesce(o.judged, 0)) as judged,
    (p.few_late + coalesce(o.late, 0)) / (p.few_judged + coalesce(o.judged, 0)) as overdue
from plain p left join quantiles q using (part) left join own_every o using (part)
order by p.part <> 'all', p.part
