"""What a study survives: kills, full disks, many starts, flipped bits, other machines' settings, long histories.

``python benchmarks/faults.py [--quick]``. It counts what went wrong. Without ``--quick`` disks are mounted, which needs
root.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.breaking import (
    AFTER_ANSWERS,
    AFTER_LIST,
    bytes_of,
    contacted_twice,
    half_done,
    keys,
    killed,
    month,
    silent,
    small_disk,
    started,
    tiny_study,
    up_to_the_list,
)

WHOLE = {"kills": 450, "kernels": 50, "disks": 44, "kernel disks": 6, "starts": 100, "bits": 1000, "settings": 20}
QUICK = {"kills": 1, "starts": 1, "bits": 8}
STEPS = 10_000
ZONES = ("Asia/Kathmandu", "America/St_Johns", "Pacific/Kiritimati")
LOCALES = ("C", "tr_TR.UTF-8", "it_IT.UTF-8")
COMMAND = Path(sys.executable).parent / "crmlab"

Counts = dict[str, int]


def reference(folder: Path) -> tuple[dict[str, str], float]:
    """The bytes of a month that nothing disturbed, and its seconds."""
    begun = time.monotonic()
    process = started(month, tiny_study(folder), folder / "said.json")
    process.join()
    if process.exitcode:
        raise SystemExit((folder / "said.json").read_text())
    return bytes_of(folder / "reports"), time.monotonic() - begun


def _again(folder: Path) -> Iterator[Path]:
    """The params file of a study made anew in `folder`, over and over; each is gone when the next is asked for."""
    for number in count():
        study = folder / str(number)
        yield tiny_study(study)
        shutil.rmtree(study)


def kills(folder: Path, whole: dict[str, str], seconds: float, n: int, rng: random.Random) -> Counts:
    """Months killed up to six times each at random instants, then ended."""
    found = {"kills": 0, "half": 0, "twice": 0, "bytes": 0}
    for path in _again(folder):
        reports = path.parents[1] / "reports"
        for _ in range(min(rng.randint(1, 6), n)):
            at_work = killed(month, path, rng.uniform(0.01, 0.6) * seconds)
            found["kills"] += at_work
            found["half"] += len(half_done(reports))
            if not at_work:
                seconds *= 0.8  # the machine has less to do than when the month was timed
                break
        _ended(path, whole, found)
        if found["kills"] >= n:
            break
    return found


def _ended(path: Path, whole: dict[str, str], found: Counts) -> None:
    """Have a month end undisturbed, and count what is then not as it should be."""
    process = started(month, path, path.parent / "said.json")
    process.join()
    reports = path.parents[1] / "reports"
    found["half"] += len(half_done(reports))
    found["twice"] += contacted_twice(reports)
    found["bytes"] += process.exitcode != 0 or bytes_of(reports) != whole


def _by_command(path: Path, today: date, **more: object) -> subprocess.Popen:
    command = [str(COMMAND), "run", str(path), "--today", str(today)]
    return subprocess.Popen(
        command, cwd=path.parents[1], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **more
    )


def kernels(folder: Path, n: int, rng: random.Random) -> Counts:
    """The same with the command line and real kernels, whose parent is killed; they must not disturb the next run."""
    found, paths = {"kills": 0, "half": 0, "bytes": 0}, _again(folder)
    path, begun = next(paths), time.monotonic()
    first = _by_command(path, AFTER_ANSWERS)
    told = first.communicate()[1]
    if first.returncode:
        raise SystemExit(told)
    whole, seconds = bytes_of(path.parents[1] / "reports"), time.monotonic() - begun
    for path in paths:
        reports = path.parents[1] / "reports"
        for _ in range(4):
            process = _by_command(path, AFTER_ANSWERS)
            try:
                process.communicate(timeout=rng.uniform(0.05, 0.7) * seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                found["kills"] += 1
            found["half"] += len(half_done(reports))
        _by_command(path, AFTER_ANSWERS).communicate()
        found["bytes"] += bytes_of(reports) != whole
        if found["kills"] >= n:
            break
    return found


def disks(folder: Path, whole: dict[str, str], room: int, n: int, rng: random.Random) -> Counts:
    """Months on a disk too small for them, ended when it was enlarged."""
    found = {"disks": 0, "half": 0, "twice": 0, "bytes": 0, "code": 0}
    for path in _again(folder):
        reports = path.parents[1] / "reports"
        with small_disk(reports, int(rng.uniform(0.02, 0.95) * room)) as enlarge:
            process = started(month, path, path.parent / "said.json")
            process.join()
            found["disks"] += 1
            found["code"] += process.exitcode != 74
            found["half"] += len(half_done(reports))
            enlarge(256 << 20)
            _ended(path, whole, found)
        if found["disks"] >= n:
            break
    return found


def kernel_disks(folder: Path, room: int, n: int, rng: random.Random) -> Counts:
    """The command line and real kernels, whose temporary files are on the small disk too."""
    found = {"disks": 0, "half": 0, "code": 0, "said": 0}
    for path in _again(folder):
        reports = path.parents[1] / "reports"
        with small_disk(reports, int(rng.uniform(0.1, 0.9) * room)):
            (reports / "temporary").mkdir()
            process = _by_command(path, AFTER_LIST, env={**os.environ, "TMPDIR": str(reports / "temporary")})
            told = [line for line in process.communicate()[1].splitlines() if line and "cells" not in line]
            found["disks"] += 1
            found["code"] += process.returncode != 74
            found["said"] += len(told) != 1
            shutil.rmtree(reports / "temporary")
            found["half"] += len(half_done(reports))
        if found["disks"] >= n:
            break
    return found


def starts(folder: Path, whole: dict[str, str], n: int) -> Counts:
    """Eight starts of one study at once: one wins, the others name it."""
    found = {"rounds": 0, "half": 0, "bytes": 0, "code": 0}
    wanted = {name: digest for name, digest in whole.items() if name.startswith(("tiny/one/1_", "tiny/one/2_"))}
    for path in _again(folder):
        at_once = [started(up_to_the_list, path, path.parent / f"said{k}.json") for k in range(8)]
        for process in at_once:
            process.join()
        told = [json.loads((path.parent / f"said{k}.json").read_text()) for k in range(8)]
        names = {f"process {process.pid} " for process in at_once}
        wrong = [(c, m) for c, m in told if c != 0 and not (c == 75 and any(name in m for name in names))]
        found["rounds"] += 1
        found["code"] += len(wrong) + all(code for code, _ in told)
        reports = path.parents[1] / "reports"
        found["half"] += len(half_done(reports))
        there = bytes_of(reports)
        found["bytes"] += any(there.get(name) != digest for name, digest in wanted.items())
        if found["rounds"] >= n:
            break
    return found


def bits(folder: Path, n: int, rng: random.Random) -> Counts:
    """Bits flipped in every kind of file of the study in `folder`, after somebody was erased from it."""
    from crmlab.forgetting import forget_customer

    path = folder / "params" / "tiny.yaml"
    forget_customer("c0007", study=path, today=AFTER_ANSWERS + timedelta(days=1))
    month(path)
    kinds: dict[tuple[str, str], list[Path]] = {}
    reports = folder / "reports"
    for file in sorted(p for p in reports.rglob("*") if p.is_file() and p.stat().st_size and p.name != ".lock"):
        inside = file.relative_to(reports).parts
        kinds.setdefault((inside[-2] if len(inside) > 1 else "", file.suffix), []).append(file)
    found: Counts = {"bits": 0, "silent": 0}
    while found["bits"] < n:
        kind, files = list(kinds.items())[found["bits"] % len(kinds)]
        found["bits"] += 1
        if silent(file := rng.choice(files), path, rng):
            found["silent"] += 1
            print(f"  not noticed: {file.relative_to(reports)} ({'/'.join(kind)})", flush=True)
    print(f"  kinds of files: {', '.join('/'.join(kind) for kind in list(kinds)[:n])}")
    return found


def settings(folder: Path, whole: dict[str, str], n: int) -> Counts:
    """The month in processes with other time zones, locales, hash seeds, threads and masks."""
    found, root = {"runs": 0, "bytes": 0}, str(Path(__file__).parents[1])
    code = "import sys; from pathlib import Path; from benchmarks.breaking import month; month(Path(sys.argv[1]))"
    paths = _again(folder)
    for zone, locale in zip(ZONES, LOCALES, strict=True):
        for repeat in range(n):
            path = next(paths)
            strange = {
                "TZ": zone,
                "LC_ALL": locale,
                "PYTHONHASHSEED": str(repeat + 1),
                "OMP_NUM_THREADS": str(1 + repeat % 3),
            }
            path_of_code = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
            environment = {**os.environ, **strange, "PYTHONPATH": path_of_code}
            done = subprocess.run(
                [sys.executable, "-c", code, path], env=environment, umask=0o022 * (repeat % 2), capture_output=True
            )
            found["runs"] += 1
            found["bytes"] += done.returncode != 0 or bytes_of(path.parents[1] / "reports") != whole
    return found


def main() -> int:
    sizes = QUICK if "--quick" in sys.argv[1:] else WHOLE
    rng, results = random.Random(20), {}
    with tempfile.TemporaryDirectory(prefix="crmlab-faults-") as place, keys(Path(place) / "keys"):
        folder = Path(place)
        whole, seconds = reference(folder / "reference")
        room = sum(-(-p.stat().st_size // 4096) * 4096 for p in (folder / "reference" / "reports").rglob("*"))
        parts = {
            "kills": lambda n: kills(folder / "kills", whole, seconds, n, rng),
            "kernels": lambda n: kernels(folder / "kernels", n, rng),
            "disks": lambda n: disks(folder / "disks", whole, room, n, rng),
            "kernel disks": lambda n: kernel_disks(folder / "kernel-disks", room, n, rng),
            "starts": lambda n: starts(folder / "starts", whole, n),
            "bits": lambda n: bits(folder / "reference", n, rng),
            "settings": lambda n: settings(folder / "settings", whole, n),
        }
        for name, n in sizes.items():
            begun = time.monotonic()
            results[name] = parts[name](n)
            print(f"{name}: {results[name]} in {time.monotonic() - begun:.0f} s", flush=True)
    if sizes is QUICK:
        print(f"left out: {', '.join(sorted(WHOLE.keys() - QUICK.keys()))}, histories")
    else:
        results["histories"] = _histories()
        print(f"histories: {results['histories']}")
    return _goals(results)


def _histories() -> Counts:
    from benchmarks.histories import histories

    counts = histories(STEPS)
    wrong = len(counts.forbidden) + len(counts.doubled)
    return {"steps": counts.steps, "twice": wrong, "arms": len(counts.changed_arms), "lost": len(counts.lost)}


def _goals(results: dict[str, Counts]) -> int:
    """Print name, figure, aim, and whether it was met."""
    names = {
        "half-published stages": "half",
        "double or forbidden contacts": "twice",
        "runs that ended with other bytes": "bytes",
        "silent corruptions": "silent",
        "wrong exit codes": "code",
        "more or less than one message": "said",
        "changed arms": "arms",
        "contacts lost or told otherwise": "lost",
    }
    short = 0
    for name, key in names.items():
        counted = [part[key] for part in results.values() if key in part]
        if counted:
            short += sum(counted) > 0
            print(f"{name}  {sum(counted)}  0  {'short' if sum(counted) else 'met'}")
    return int(short > 0)


if __name__ == "__main__":
    sys.exit(main())
