"""One side of benchmarks/segments.py in a process of its own: ``python one_side.py job.json``."""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pandas as pd

from crmlab.stage.inputs import connect

HERE = Path(__file__).parent


class Clock:
    """What each part took: CPU seconds, and seconds as they passed."""

    def __init__(self) -> None:
        self.took: dict[str, tuple[float, float]] = {}

    def __call__(self, name: str, part: Callable) -> object:
        """Run one part."""
        cpu, began = sum(os.times()[:2]), time.perf_counter()
        made = part()
        self.took[name] = (sum(os.times()[:2]) - cpu, time.perf_counter() - began)
        return made


def crmlab(con: object, segments: pd.Series, as_of: date, clock: Clock) -> dict[str, pd.DataFrame]:
    """The figures by crmlab."""
    from crmlab.base.cohorts import cohorts
    from crmlab.base.ipt import ipt
    from crmlab.base.orders import orders
    from crmlab.base.retention import retention
    from crmlab.base.traits import traits

    lines = con.table("transactions")
    made = clock("orders", lambda: con.create_table("orders", orders(lines), temp=True))
    described = clock("traits", lambda: traits({"transactions": lines}, as_of=as_of, orders=made))
    crr = clock("retention", lambda: retention(made, as_of=as_of))
    clock("cohorts", lambda: cohorts(crr))
    gaps = clock("ipt", lambda: ipt(made, as_of=as_of, segments=segments))
    how = crr.opening
    n = len(described.table)
    seen = pd.DataFrame([{"n": n, "early": round(how.first_share * n), "new": round(how.new_share * n)}])
    return {"traits": described.table, "retention": crr.counts, "opening": seen, "ipt": gaps.table}


def sql(con: object, segments: pd.Series, as_of: date, clock: Clock) -> dict[str, pd.DataFrame]:
    """The same figures by hand, in the same engine."""
    engine = con.con
    frame = segments.rename("segment").rename_axis("customer_id").reset_index()
    engine.register("given", frame)
    engine.execute("CREATE TEMP TABLE segments AS FROM given")

    def run(name: str) -> pd.DataFrame:
        text = (HERE / "by_hand" / f"{name}.sql").read_text()
        return engine.execute(text, {"as_of": as_of} if "$as_of" in text else None).df()

    clock("orders", lambda: run("orders"))
    described = clock("traits", lambda: run("traits"))
    counts, seen = clock("retention", lambda: (run("retention"), run("opening")))
    gaps = clock("ipt", lambda: run("ipt"))
    return {"traits": described, "retention": counts, "opening": seen[["n", "early", "new"]], "ipt": gaps}


def three(con: object, segments: pd.Series, as_of: date, clock: Clock) -> dict[str, pd.DataFrame]:
    """What openretailscience has too: RFM, cohorts, mean time between purchases."""
    from crmlab.base.cohorts import cohorts
    from crmlab.base.orders import orders
    from crmlab.base.retention import retention
    from crmlab.base.rfm import rfm
    from crmlab.base.traits import TraitsParams, traits

    lines = con.table("transactions")
    made = clock("orders", lambda: con.create_table("orders", orders(lines), temp=True))
    scores = clock("rfm", lambda: rfm(made, as_of=as_of))
    crr = clock("cohorts", lambda: (found := retention(made, as_of=as_of), cohorts(found))[0])
    only = TraitsParams(include=("ipt_mean_days",))
    means = clock("ipt", lambda: traits({"transactions": lines}, as_of=as_of, orders=made, params=only))
    return {"rfm": scores.table, "cohorts": crr.counts, "ipt": means.table}


def main(job: dict) -> dict:
    """Do it; the figures are left as Parquet files, what they took as the answer."""
    con = connect()
    con.raw_sql(f"CREATE VIEW transactions AS FROM '{job['lines']}'")
    segments = pd.read_parquet(job["segments"]).set_index("customer_id")["segment"]
    clock = Clock()
    side = {"crmlab": crmlab, "sql": sql, "three": three}[job["side"]]
    figures = side(con, segments, date.fromisoformat(job["as_of"]), clock)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    for name, frame in figures.items():
        frame.to_parquet(f"{job['figures']}/{job['side']}_{name}.parquet")
    return {"took": clock.took, "peak": peak}


if __name__ == "__main__":
    job = json.loads(Path(sys.argv[1]).read_text())
    Path(job["report"]).write_text(json.dumps(main(job)))
