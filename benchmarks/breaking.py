"""A tiny live study, and what breaks it: processes killed, disks filled, many starts at once, bits flipped.

Used by `faults.py` for the long counts and by the tests for the everyday ones.
"""

import csv
import hashlib
import io
import json
import multiprocessing
import os
import pkgutil
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import yaml

import crmlab
from crmlab.contract import CrmlabError

AS_OF, WINDOW = date(2023, 8, 6), 14
AFTER_LIST, AFTER_ANSWERS = AS_OF + timedelta(days=1), AS_OF + timedelta(days=WINDOW + 1)
QUICK = {"draws": 100, "tune": 50, "chains": 2, "ess": 20, "r_hat": 1.1, "validation_weeks": 4, "horizon_weeks": 4}
IN_PLACE = {"index.html", "index.json"}
"""Files that every run writes anew: a bit flipped in them is gone after it."""


def tiny_study(folder: Path, *, cycles: int = 1) -> Path:
    """Write the raw files and the params file of a live study; return the path of the latter."""
    rng, customers = np.random.default_rng(7), 160
    rates = rng.gamma(1.5, 1 / 60, customers)
    bought = [
        [f"c{i:04d}", str(date(2023, 1, 1) + timedelta(days=int(day))), f"{rng.gamma(4, 8):.2f}", f"o{i}-{n}"]
        for i in range(customers)
        for n, day in enumerate(np.sort(rng.choice(270, rng.poisson(rates[i] * 270) + 1, replace=False)))
    ]
    ids = [f"c{i:04d}" for i in range(customers)]
    tables = {
        "transactions": (["customer_id", "date", "amount", "order_id"], [*bought, ["", "2023-02-01", "5.00", "lost"]]),
        "customers": (
            ["customer_id", "email", "name", "club"],
            [[c, f"{c}@example.com", f"Ada {c}", "yes" if n % 3 else "no"] for n, c in enumerate(ids)],
        ),
        "consents": (["customer_id", "channel", "state", "date"], [[c, "email", "granted", "2023-01-01"] for c in ids]),
    }
    for name, (header, rows) in tables.items():
        write_csv(folder / "raw" / f"{name}.csv", header, rows)
    study = {
        "study": "tiny",
        "mode": "live",
        "seed": 3,
        "data": {"files": {t: {"path": f"../raw/{t}.csv"} for t in tables}, "extracted_on": "2023-12-31"},
        "cycles": [
            {"cycle": name, "as_of": str(AS_OF + n * timedelta(days=21)), "outcome_window": f"{WINDOW}d"}
            for n, name in enumerate(("one", "two")[:cycles])
        ],
        "protocol": {"primary": "level", "holdout": 0.2},
        "segments": {"by": "frequency", "bands": 2},
        "clv": {"margin_share": 0.3, **QUICK},
        "activation": {"budget": 30, "cost_per_contact": 0.5},
        "beliefs": {"prior_response": {"mean": 0.2, "strength": 20}},
    }
    path = folder / "params" / "tiny.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def write_csv(path: Path, header: list[str], rows: list[list]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def month(path: Path) -> str:
    """What a scheduler does with a study in one month: list, delivery, answers; say what became of it.

    Every step is done again when it was done already, and then changes nothing.
    """
    from crmlab.delivery.export import export_list

    listed = up_to_the_list(path)
    delivered = export_list(path, "one", "email", form="plain", today=AFTER_LIST)
    return "\n".join([listed, delivered, whole_run(path)])


def up_to_the_list(path: Path) -> str:
    """The analysis and the activation alone."""
    return _run(path, AFTER_LIST)


def whole_run(path: Path) -> str:
    """Everything but the delivery."""
    return _run(path, AFTER_ANSWERS)


def _run(path: Path, today: date) -> str:
    from crmlab.loop import Asked, run_study

    done = run_study(path, Asked(today=today, pictures=False))
    if failed := [d for d in done if d.exit_code]:
        raise Told(failed[0].exit_code, failed[0].message)
    return "\n".join(f"{d.stage} {d.state} {d.message}" for d in done)


class Told(Exception):
    """A command's exit code and what it told its user."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def tell_exit(what: Callable[[Path], str], path: Path) -> tuple[int, str]:
    """Exit code and message of a command done in this process; 70 and a traceback's last line where it broke."""
    try:
        return 0, what(path)
    except Told as told:
        return told.code, str(told)
    except CrmlabError as error:
        return error.exit_code, str(error)
    except Exception as error:
        return 70, f"{type(error).__name__}: {error}"


_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["pandas", "pyarrow.parquet", *(m.name for m in pkgutil.walk_packages(crmlab.__path__, "crmlab."))]
)


def started(what: Callable[[Path], str], path: Path, said: Path) -> multiprocessing.Process:
    """A command begun in a process of its own; `said` receives its exit code and what it tells."""
    process = _FORKS.Process(target=_in_process, args=(what, path, said, os.environ["CRMLAB_KEYS"]))
    process.start()
    return process


def _in_process(what: Callable[[Path], str], path: Path, said: Path, keys: str) -> None:
    os.environ["CRMLAB_KEYS"] = keys
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        code, message = tell_exit(what, path)
    said.write_text(json.dumps([code, message]), encoding="utf-8")
    sys.exit(code)


def killed(what: Callable[[Path], str], path: Path, after: float) -> bool:
    """Begin a command and kill it after some seconds; whether it was still at work."""
    process = started(what, path, path.parent / "said.json")
    process.join(after)
    at_work = process.is_alive()
    process.kill()
    process.join()
    return at_work


def bytes_of(reports: Path) -> dict[str, str]:
    """Relative path → digest of everything there but locks."""
    files = sorted(p for p in reports.rglob("*") if p.is_file() and p.name != ".lock")
    return {p.relative_to(reports).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def half_done(reports: Path) -> list[str]:
    """Whatever stands in its place and is not whole: stages, deliveries, stored inputs, files with a digest."""
    from crmlab.contract import Refused
    from crmlab.stage.content import read_sealed
    from crmlab.stage.folder import Published, altered, altered_private

    wrong = []
    for study in (p for p in reports.glob("*") if p.is_dir() and not p.name.startswith(".")):
        for stage in (p for p in study.glob("*/[123]_*") if not p.name.startswith(".")):
            wrong += [str(fault.where) for fault in altered(Published(stage))]
        wrong += [str(fault.where) for fault in altered_private(study)]
        stored = (study / "inputs").glob("[0-9a-f]*.parquet")
        wrong += [str(p) for p in stored if hashlib.sha256(p.read_bytes()).hexdigest() != p.stem]
        for path in (study / "erased.json", study / "inputs" / "replaced.json", study / "index.json"):
            try:
                read_sealed(path, why="")
            except Refused:
                wrong.append(str(path))
    return wrong


def contacted_twice(reports: Path) -> int:
    """People who are in the adds of more than one delivery of a campaign."""
    from crmlab.stage.ledger import deliveries

    seen: dict[tuple[str, str], int] = {}
    for study in (p for p in reports.glob("*") if (p / "deliveries").is_dir()):
        for delivery in deliveries(study):
            with (delivery.folder / "adds.csv").open(newline="", encoding="utf-8") as file:
                for row in list(csv.reader(file))[1:]:
                    key = (delivery.manifest["campaign_id"], row[0])
                    seen[key] = seen.get(key, 0) + 1
    return sum(times > 1 for times in seen.values())


def flip(path: Path, rng: random.Random) -> bytes:
    """Turn one bit of a file over; returns what it held before."""
    before = path.read_bytes()
    changed = bytearray(before)
    changed[rng.randrange(len(before))] ^= 1 << rng.randrange(8)
    path.write_bytes(changed)
    return before


def silent(path: Path, study: Path, rng: random.Random) -> bool:
    """Whether a bit flipped in `path` stays without being named or mended; all is restored."""
    derived = {p: p.read_bytes() for p in (study.parents[1] / "reports").rglob("index.*")}
    before = flip(path, rng)
    try:
        code, message = tell_exit(whole_run, study)
        named = code == 2 and path.name in message
        return not (named or (path.name in IN_PLACE and code == 0 and path.read_bytes() == before))
    finally:
        for file, content in {**derived, path: before}.items():
            file.write_bytes(content)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Callable[[int], None]]:
    """A disk of `size` bytes mounted at `folder`; what is given can enlarge it. Needs root."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield lambda more: subprocess.run(["mount", "-o", f"remount,size={more}", folder], check=True) and None
    finally:
        time.sleep(0.05)
        subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def keys(folder: Path) -> Iterator[None]:
    """The keys of live studies in a folder of their own, so that a study made anew has the same."""
    before = os.environ.get("CRMLAB_KEYS")
    os.environ["CRMLAB_KEYS"] = str(folder)
    try:
        yield
    finally:
        os.environ.pop("CRMLAB_KEYS") if before is None else os.environ.update(CRMLAB_KEYS=before)
