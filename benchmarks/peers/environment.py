"""A peer's own environment, made once in the user's cache and used again."""

import subprocess
import sys
from pathlib import Path

import platformdirs

PACKAGES = {
    "pymc-marketing": ("pymc-marketing", "nutpie", "pyarrow"),
    "openretailscience": ("openretailscience", "duckdb", "pyarrow"),
}
"""Peer → what its environment holds."""


def folder(peer: str) -> Path:
    return platformdirs.user_cache_path("crmlab-benchmarks") / peer


def python(peer: str, *, may_make: bool) -> tuple[Path | None, str]:
    """The peer's interpreter, or None and why there is none.

    Made by ``venv`` and ``pip``: the newest release that installs. Byte code is compiled when it is made. To renew it,
    remove its folder.
    """
    where = folder(peer)
    interpreter = where / "bin" / "python"
    if (where / "ready").exists():
        return interpreter, ""
    if not may_make:
        return None, f"{peer} is not installed in {where} yet: run without --quick, with a network, once"
    where.parent.mkdir(parents=True, exist_ok=True)
    print(f"Installing {', '.join(PACKAGES[peer])} in {where}: once, some minutes.", flush=True)
    for step in (
        [sys.executable, "-m", "venv", "--clear", str(where)],
        [str(interpreter), "-m", "pip", "install", "--quiet", *PACKAGES[peer]],
    ):
        done = subprocess.run(step, capture_output=True, text=True)
        if done.returncode:
            why = (done.stderr or done.stdout).strip().splitlines()
            return None, f"{peer} could not be installed in {where} (no network?): {why[-1] if why else ''}"
    compiled(interpreter)
    (where / "ready").touch()
    return interpreter, ""


def compiled(interpreter: str | Path) -> None:
    """Compile the byte code of everything that an interpreter has installed; what is compiled already is skipped."""
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([interpreter, "-c", where], capture_output=True, text=True, check=True).stdout.strip()
    subprocess.run([interpreter, "-m", "compileall", "-q", site], capture_output=True)
