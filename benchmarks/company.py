"""Coverage, width and interval score of the company forecast over rolling origins, on three public data sets.

Against the model alone, and against expecting the last weeks again with the errors that this made at all other origins
of all data sets. The last lines are the goals. ``--quick`` takes under a minute and fewer origins.
"""

import argparse
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import ibis
import pandas as pd

from crmlab.base.orders import orders
from crmlab.clv.company.rolling import compared, naive, rolling_origins
from crmlab.clv.company.rolling_result import FORECAST, MODEL, NAIVE, USEFUL
from crmlab.clv.params import CLVParams
from crmlab.data.intake import read
from crmlab.data.params import DataParams

BASES = {
    "CDNOW, sample": ("CDNOW", "cdnow", {"sample": True}),
    "CDNOW, all": ("CDNOW", "cdnow", {}),
    "Online Retail": ("Online Retail", "online_retail", {}),
    "Complete Journey": ("Complete Journey", "complete_journey", {}),
}
HORIZONS = (4, 13, 26)
FIRST_WEEK = 12
STEP, QUICK_STEP = 3, 9
FIGURES = ["coverage_50", "coverage_90", "width", "interval_score"]


def origins(table: ibis.Table, last: date, step: int) -> list[date]:
    """Days from the twelfth week on, `step` weeks apart, that leave the shortest horizon to be seen."""
    first = pd.Timestamp(table.date.min().execute()).date()
    weeks = (last - first).days // 7
    return [first + timedelta(weeks=w) for w in range(FIRST_WEEK, weeks - min(HORIZONS) + 1, step)]


def rolled(base: str, step: int, seed: int) -> pd.DataFrame:
    """Records of one base, and a line for each method."""
    data_set, source, options = BASES[base]
    started = time.process_time()
    con = ibis.duckdb.connect()
    intake = read(DataParams(source=source, options=options), folder=Path(), con=con)
    table = con.create_table("all_orders", orders(intake.tables["transactions"]))
    last = intake.extracted_on
    found = rolling_origins(
        table, as_of=last, origins=origins(table, last, step), horizons=HORIZONS, params=CLVParams(), seed=seed
    )
    number = found.records["origin"].nunique()
    print(f"\n{base}: {number} origins, {found.left_out} left out, {time.process_time() - started:.0f} CPU s")
    print(found.table.round(2).to_string(index=False))
    for sentence in found.sentences():
        print(sentence)
    return found.records.assign(base=base, data_set=data_set)


def averaged(records: pd.DataFrame) -> pd.DataFrame:
    """Figures by method: mean over horizons within a data set, then over data sets."""
    parts = [compared(own).assign(data_set=data_set) for data_set, own in records.groupby("data_set") if len(own)]
    table = pd.concat(parts)
    return table.groupby(["data_set", "method"])[FIGURES].mean().groupby("method").mean()


def goal(name: str, figure: float, aim: str, met: bool) -> bool:
    """One line a goal."""
    print(f"{name}  {figure:.3f}  {aim}  {'met' if met else 'short'}")
    return met


def main() -> int:
    """Run it; 0 where every goal is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few origins, without all of CDNOW")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    bases = [b for b in BASES if not (chosen.quick and b == "CDNOW, all")]
    step = QUICK_STEP if chosen.quick else STEP
    records = pd.concat([rolled(b, step, chosen.seed) for b in bases], ignore_index=True)
    records = records[records["method"] != NAIVE]
    records = pd.concat([records, naive(records[records["method"] == FORECAST])], ignore_index=True)
    table = averaged(records)
    print("\nAll data sets, each of equal weight; the naive forecast's errors pooled over all of them")
    print(table.round(3).to_string())
    if chosen.quick:
        print(f"left out: all customers of CDNOW, and two of three origins (every {QUICK_STEP} weeks, not {STEP})")
    own, alone, again = (table.loc[m] for m in (FORECAST, MODEL, NAIVE))
    print(f"cases {int((records['method'] == FORECAST).sum())}, overlapping; three data sets prove nothing\n")
    covered, width = own["coverage_90"], own["width"] / again["width"]
    scores = [own["interval_score"] / other["interval_score"] for other in (alone, again)]
    met = [
        goal("coverage of 90 % intervals", covered, "0.85 to 0.95", 0.85 <= covered <= 0.95),
        goal("width over the naive's", width, f"<= {USEFUL:.3f}", width <= USEFUL),
        goal("interval score over the model's alone", scores[0], "< 1", scores[0] < 1),
        goal("interval score over the naive's", scores[1], "< 1", scores[1] < 1),
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
