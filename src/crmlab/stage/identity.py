"""What makes a stage the stage it is: params, inputs, parents, notebook, package and lock."""

import hashlib
import json
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1]
VERSIONS = ("crmlab", "duckdb", "ibis-framework", "numpy", "pandas", "pymc", "scikit-learn", "scipy", "statsmodels")


def digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def notebook_digest(path: Path) -> str:
    """SHA-256 of a notebook's cells, their kinds and tags: outputs and editor metadata do not count."""
    import nbformat  # takes seconds, and not every command reads a notebook

    cells = nbformat.read(path, as_version=4).cells
    return digest([[c.cell_type, c.source, sorted(c.metadata.get("tags", []))] for c in cells])


@cache
def package_digest() -> str:
    """SHA-256 of the package's source files."""
    files = sorted(p for p in PACKAGE.rglob("*") if p.suffix in {".py", ".po", ".j2", ".css"} and p.is_file())
    return digest([[str(p.relative_to(PACKAGE)), hashlib.sha256(p.read_bytes()).hexdigest()] for p in files])


@cache
def lock_digest() -> str:
    """SHA-256 of the lock file, or, where crmlab is installed without it, of the versions it runs on."""
    lock = PACKAGE.parents[1] / "requirements.lock"
    if lock.is_file():
        return hashlib.sha256(lock.read_bytes()).hexdigest()
    return digest(versions())


@cache
def versions() -> dict[str, str]:
    """Versions of the packages that compute."""
    return {name: version(name) for name in VERSIONS}


def git_commit() -> str:
    """The commit the package's source is at, or an empty text."""
    head = PACKAGE.parents[1] / ".git" / "HEAD"
    if not head.is_file():
        return ""
    text = head.read_text().strip()
    if not text.startswith("ref: "):
        return text
    reference = head.parent / text.removeprefix("ref: ")
    return reference.read_text().strip() if reference.is_file() else ""


def identity(params: dict, inputs: dict, parents: dict, notebook: Path) -> dict[str, Any]:
    """The identity of a stage, each part so that two identities can be told apart in words."""
    return {
        "params": params,
        "inputs": inputs,
        "parents": parents,
        "notebook": notebook_digest(notebook),
        "package": package_digest(),
        "lock": lock_digest(),
    }


def differences(published: dict, now: dict) -> list[str]:
    """What differs between two identities, in words; empty when they are the same."""
    found = [
        f"params: {name} was {_short(old)}, is {_short(new)}"
        for name, old, new in _changes(published["params"], now["params"])
    ]
    tables = sorted({*published["inputs"], *now["inputs"]})
    found += [f"inputs: {t}" for t in tables if published["inputs"].get(t) != now["inputs"].get(t)]
    if published["parents"] != now["parents"]:
        found.append(f"parents: {', '.join(sorted({*published['parents'], *now['parents']}))}")
    found += [part for part in ("notebook", "package", "lock") if published[part] != now[part]]
    return found


def _changes(old: Any, new: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            change
            for key in sorted({*old, *new})
            for change in _changes(old.get(key), new.get(key), f"{name}.{key}" if name else key)
        ]
    return [] if old == new else [(name, old, new)]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else text[:37] + "…"
