"""RFM, cohorts and time between purchases by openretailscience: ``python retail.py job.json``, in its environment."""

import json
import os
import resource
import sys
import time
from pathlib import Path


def main(job: dict) -> dict:
    """Do it; the figures are left as Parquet files, what they took as the answer."""
    from importlib.metadata import version

    import ibis
    from openretailscience.analysis.cohort import CohortAnalysis
    from openretailscience.analysis.customer import DaysBetweenPurchases
    from openretailscience.segmentation.rfm import RFMSegmentation

    con = ibis.duckdb.connect(threads=2)
    con.raw_sql(
        "CREATE VIEW lines AS SELECT customer_id, order_id AS transaction_id, date AS transaction_date, "
        f"amount AS unit_spend FROM '{job['lines']}'"
    )
    lines, took = con.table("lines"), {}

    def part(name, make):
        cpu, began = sum(os.times()[:2]), time.perf_counter()
        made = make()
        took[name] = (sum(os.times()[:2]) - cpu, time.perf_counter() - began)
        made.reset_index().rename(columns=str).to_parquet(f"{job['figures']}/peer_{name}.parquet")

    five = dict.fromkeys(("r_segments", "f_segments", "m_segments"), 5)
    part("rfm", lambda: RFMSegmentation(lines, current_date=job["as_of"], **five).table.execute())
    part("cohorts", lambda: CohortAnalysis(lines, "customer_id", period="month").df)
    part("ipt", lambda: DaysBetweenPurchases(lines).df)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {"took": took, "peak": peak, "version": version("openretailscience")}


if __name__ == "__main__":
    job = json.loads(Path(sys.argv[1]).read_text())
    Path(job["report"]).write_text(json.dumps(main(job)))
