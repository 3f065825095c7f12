"""Traits, retention and time between purchases of ten million lines: crmlab beside SQL by hand and openretailscience.

Each side is a fresh process, run in turn; see README.md. ``--quick`` takes half a million lines, once.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from statistics import median

import duckdb
import numpy as np
import pandas as pd
from peers import environment

HERE = Path(__file__).parent
AS_OF = date(2024, 12, 31)
RATIO, GIGABYTES = 1.2, 2.0
LINES = """
COPY (
  WITH orders AS (
    SELECT i, (hash(i * 7 + 1) % {customers})::BIGINT AS drawn, hash(i * 7 + 2) AS when_, hash(i * 7 + 3) AS less,
      hash(i * 7 + 4) AS which FROM range({orders}) AS t(i)),
  people AS (
    SELECT i, when_, CASE WHEN which % 3 = 0 THEN drawn ELSE drawn * (less % 1000) // 1000 END AS who FROM orders),
  dated AS (
    SELECT i, who, hash(who) % 600 AS came, when_ % least(hash(who * 3 + 1) % 730 + 1, 731 - hash(who) % 600) AS after
    FROM people)
  SELECT 'C' || lpad(who::VARCHAR, 7, '0') AS customer_id, 'O' || lpad(i::VARCHAR, 8, '0') AS order_id,
    (DATE '2023-01-01' + (came + after)::INT) AS date,
    ((hash(i * 31 + line) % 20000) / 100.0)::DECIMAL(18, 4) AS amount,
    (CASE WHEN hash(i * 11) % 10 = 0 THEN hash(i * 13 + line) % 500 / 100.0 ELSE 0 END)::DECIMAL(18, 4)
      AS coupon_discount,
    'product ' || (hash(i * 17 + line) % 5000)::VARCHAR AS product_id,
    'category ' || (hash(i * 17 + line) % 5000 % 12)::VARCHAR AS category,
    ['web', 'shop', 'phone'][1 + ((hash(i * 5) + (hash(i * 23 + line) % 40 = 0)::INT) % 3)::INT] AS channel
  FROM dated, range(2) AS of(line)
) TO '{path}' (FORMAT parquet)"""
"""Two lines an order; customers come over 600 days, buy at rates of their own and some leave; a few orders have two
channels, one in ten a coupon."""


def write(folder: Path, lines: int) -> dict:
    """The job that both sides are given: lines, and a segment for each customer."""
    path, segments = folder / "lines.parquet", folder / "segments.parquet"
    con = duckdb.connect(config={"threads": 2})
    con.execute(LINES.format(orders=lines // 2, customers=lines // 10, path=path))
    con.execute(
        f"COPY (SELECT customer_id, 's' || (1 + hash(customer_id) % 4)::VARCHAR AS segment FROM '{path}' "
        f"GROUP BY customer_id ORDER BY customer_id) TO '{segments}' (FORMAT parquet)"
    )
    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    return {"lines": str(path), "segments": str(segments), "figures": str(figures), "as_of": str(AS_OF)}


def process(interpreter: str | Path, script: str, job: dict, folder: Path) -> dict:
    """What a fresh process answers."""
    path, report = folder / "job.json", folder / "report.json"
    path.write_text(json.dumps(job | {"report": str(report)}))
    done = subprocess.run([interpreter, HERE / script, path], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{script} {job.get('side', '')} ended with {done.returncode}\n{done.stderr[-2000:]}")
    return json.loads(report.read_text())


def total(run: dict, which: int) -> float:
    """CPU seconds (0) or seconds (1) of all parts."""
    return sum(part[which] for part in run["took"].values())


def said(label: str, run: dict) -> None:
    parts = "  ".join(f"{name} {cpu:.1f} ({wall:.1f})" for name, (cpu, wall) in run["took"].items())
    print(f"  {label:<10} CPU {total(run, 0):6.1f} s, passed {total(run, 1):6.1f} s, {run['peak']:.2f} GB   {parts}")


def apart(one: pd.DataFrame, other: pd.DataFrame, key: list[str]) -> float:
    """Largest difference of two tables' common columns, relative where above 1; infinite where rows or texts differ."""
    common = [c for c in one.columns if c in other.columns]
    one, other = (f[common].sort_values(key, ignore_index=True) for f in (one, other))
    if len(one) != len(other):
        return float("inf")
    worst = 0.0
    for column in common:
        a, b = one[column], other[column]
        if not (pd.api.types.is_numeric_dtype(a) and pd.api.types.is_numeric_dtype(b)):
            if not ((a.astype("str") == b.astype("str")) | (a.isna() & b.isna())).all():
                return float("inf")
            continue
        a, b = a.to_numpy(dtype=float, na_value=np.nan), b.to_numpy(dtype=float, na_value=np.nan)
        if not (np.isnan(a) == np.isnan(b)).all():
            return float("inf")
        worst = max(worst, float(np.nanmax(np.abs(a - b) / np.maximum(np.abs(b), 1), initial=0.0)))
    return worst


def by_hand(job: dict, folder: Path, times: int) -> tuple[float, float, float, float]:
    """Ratio of the medians of time and of CPU time, largest memory, and the largest difference of the figures."""
    runs: dict[str, list[dict]] = {"crmlab": [], "sql": []}
    for turn in range(times):
        for side in ("crmlab", "sql") if turn % 2 == 0 else ("sql", "crmlab"):
            runs[side].append(process(sys.executable, "one_side.py", job | {"side": side}, folder))
            said(side, runs[side][-1])
    times_of = {side: [median(total(r, which) for r in all_) for which in (1, 0)] for side, all_ in runs.items()}
    keys = {"traits": ["customer_id"], "retention": ["first", "p"], "opening": ["n"], "ipt": ["segment"]}
    worst = 0.0
    for name, key in keys.items():
        ours, theirs = (pd.read_parquet(f"{job['figures']}/{side}_{name}.parquet") for side in ("crmlab", "sql"))
        difference = apart(ours, theirs, key)
        columns = len([c for c in ours if c in theirs])
        print(f"  {name:<10} {len(ours):,} rows, {columns} columns in common, apart by {difference:.2g}")
        worst = max(worst, difference)
    passed, cpu = (times_of["crmlab"][i] / times_of["sql"][i] for i in (0, 1))
    return passed, cpu, max(r["peak"] for r in runs["crmlab"]), worst


def beside(job: dict, folder: Path, interpreter: Path) -> dict[str, float]:
    """RFM, cohorts and time between purchases by both packages; what they disagree on."""
    ours = process(sys.executable, "one_side.py", job | {"side": "three"}, folder)
    theirs = process(interpreter, "peers/retail.py", job, folder)
    said("crmlab", ours)
    said("peer", theirs)
    print(f"  the peer is openretailscience {theirs['version']}")
    mine, other = (
        {name: pd.read_parquet(f"{job['figures']}/{side}_{name}.parquet") for name in ("rfm", "cohorts", "ipt")}
        for side in ("three", "peer")
    )
    both = mine["rfm"].merge(other["rfm"], on="customer_id", suffixes=("", "_peer"), validate="1:1")
    values = apart(
        mine["rfm"].iloc[:, :4], other["rfm"][mine["rfm"].columns[:4]].astype({"monetary": "float"}), ["customer_id"]
    )
    split = both.groupby("frequency")["f_score_peer"].nunique()
    torn = both["frequency"].isin(split.index[split > 1]).mean()
    grid = other["cohorts"].set_index("min_period_shopped")
    counts = {(c.year * 12 + c.month - 1, int(age)): n for c, row in grid.iterrows() for age, n in row.items()}
    mine_of = {(c, p - c): n for c, p, n in mine["cohorts"][["first", "p", "active"]].itertuples(index=False)}
    wrong = sum(counts.get(key, 0) != n for key, n in mine_of.items())
    last = mine["cohorts"]["p"].max()
    unseen = sum(c + age > last for c, age in counts)
    gaps = mine["ipt"].dropna().merge(other["ipt"], on="customer_id", validate="1:1")
    days = float((gaps["ipt_mean_days"] - gaps["avg_days_between_purchases"]).abs().max())
    one_way = abs(len(mine["ipt"].dropna()) - len(other["ipt"]))
    print(
        f"  RFM: recency, frequency and money apart by {values:.2g}; the peer gives {torn:.1%} of customers an F score"
    )
    print("    that others who bought as often do not have (ties broken by row number); crmlab none")
    print(f"  cohorts: {len(mine_of)} counts, {wrong} differ; the peer shows {unseen} months not yet seen as 0")
    print(f"  mean days between purchases: {len(gaps):,} customers, apart by {days:.2g}; known to one alone: {one_way}")
    return {"ratio": total(ours, 1) / total(theirs, 1), "differ": wrong + one_way + (values > 1e-9) + (days > 1e-9)}


def goal(name: str, figure: float, aim: str, *, met: bool) -> bool:
    """One line a goal."""
    print(f"{name}  {figure:.3g}  {aim}  {'met' if met else 'short'}")
    return met


def main() -> int:
    """Run it; 0 where every goal is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="half a million lines, once")
    chosen = parser.parse_args()
    lines, times = (500_000, 1) if chosen.quick else (10_000_000, 3)
    with tempfile.TemporaryDirectory(prefix="crmlab-benchmark-") as name:
        folder = Path(name)
        job = write(folder, lines)
        print(f"{lines:,} lines of {lines // 10:,} customers: crmlab and SQL by hand, CPU seconds (seconds passed)")
        passed, cpu, memory, worst = by_hand(job, folder, times)
        interpreter, missing = environment.python("openretailscience", may_make=not chosen.quick)
        print("Beside openretailscience" if interpreter else f"left out: {missing}")
        peer = beside(job, folder, interpreter) if interpreter else None
    if chosen.quick:
        print(
            "left out: nineteen lines of twenty, and repeats; what does not grow with lines weighs more than it should"
        )
    print(f"CPU time ratio {cpu:.3f}\n")
    met = [
        goal("segments_time_ratio", passed, f"<= {RATIO}", met=passed <= RATIO),
        goal("segments_peak_gb", memory, f"< {GIGABYTES}", met=memory < GIGABYTES),
        goal("segments_figures_apart", worst, "<= 1e-9", met=worst <= 1e-9),
    ]
    if peer:
        met.append(goal("retail_figures_that_differ", peer["differ"], "== 0", met=peer["differ"] == 0))
        met.append(goal("retail_time_ratio", peer["ratio"], "<= 1.0", met=peer["ratio"] <= 1))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
