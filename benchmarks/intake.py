"""Reading a ten-million-row CSV by ``crmlab check``, against `pandas.read_csv` with columns of text.

Each is a fresh process, run in turn; time is that of the whole process, memory its largest resident set. Then the same
with one row in a hundred bad. The last lines are the goals. ``--quick`` takes a tenth of the rows, once.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import duckdb

PANDAS = "import sys, pandas; print(len(pandas.read_csv(sys.argv[1], dtype=str, keep_default_na=False)))"
STUDY = """study: large
title: A large file
seed: 1
currency: EUR
time_zone: Europe/Rome
data:
  extracted_on: 2024-12-31
  files:
    transactions: {path: rows.csv}
cycles:
  - {cycle: 2024-06, as_of: 2024-06-30, outcome_window: 8w}
"""


def write(path: Path, rows: int, every: int | None) -> None:
    """Orders of a tenth as many customers over three years; of `every` so many rows one has no readable date."""
    bad = f"WHEN i % {every} = 7 THEN '31/31/2023'" if every else ""
    day = "(DATE '2022-01-01' + (hash(i * 7 + 1) % 1095)::INT)::VARCHAR"
    query = f"""
        SELECT 'C' || lpad((hash(i) % {rows // 10})::VARCHAR, 7, '0') AS customer_id,
               CASE {bad} WHEN true THEN {day} END AS date,
               printf('%.2f', (hash(i * 13 + 5) % 20000) / 100.0) AS amount,
               'O' || lpad((i // 2)::VARCHAR, 8, '0') AS order_id,
               ['web', 'shop', 'phone'][1 + (hash(i * 3) % 3)::INT] AS channel
        FROM range({rows}) AS t(i)"""
    duckdb.connect().execute(f"COPY ({query}) TO '{path}' (HEADER, DELIMITER ',')")


def measured(command: list[str]) -> tuple[float, float]:
    """Seconds and gigabytes of a process."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return time.perf_counter() - began, usage.ru_maxrss * 1024 / 1e9


def compared(folder: Path, times: int) -> tuple[float, float]:
    """Median time over that of pandas, and the largest memory of ours."""
    (folder / "large.yaml").write_text(STUDY)
    ours = [str(Path(sys.executable).parent / "crmlab"), "check", str(folder / "large.yaml")]
    theirs = [sys.executable, "-c", PANDAS, str(folder / "rows.csv")]
    found = [(measured(ours), measured(theirs)) for _ in range(times)]
    for own, other in found:
        print(f"  check {own[0]:.1f} s {own[1]:.2f} GB    pandas {other[0]:.1f} s {other[1]:.2f} GB")
    return median(o[0] for o, _ in found) / median(t[0] for _, t in found), max(o[1] for o, _ in found)


def goal(name: str, figure: float, aim: str, met: bool) -> bool:
    """One line a goal."""
    print(f"{name}  {figure:.3f}  {aim}  {'met' if met else 'short'}")
    return met


def main() -> int:
    """Run it; 0 where every goal is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a million rows, once")
    chosen = parser.parse_args()
    rows, times = (1_000_000, 1) if chosen.quick else (10_000_000, 3)
    with tempfile.TemporaryDirectory(prefix="crmlab-benchmark-") as name:
        path = Path(name) / "rows.csv"
        print(f"{rows:,} rows, all good")
        write(path, rows, None)
        ratio, memory = compared(path.parent, times)
        print(f"{rows:,} rows, one in a hundred bad")
        write(path, rows, 100)
        dirty, dirty_memory = compared(path.parent, times)
    if chosen.quick:
        print("left out: nine rows of ten, and repeats; starting the processes weighs more than it should")
    print(f"with bad rows: time ratio {dirty:.3f}, {dirty_memory:.2f} GB\n")
    met = [
        goal("intake_time_ratio", ratio, "<= 1.0", ratio <= 1.0),
        goal("intake_peak_gb", memory, "< 1.0", memory < 1.0),
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
