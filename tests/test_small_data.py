"""The analysis page on data too small for most of it: every cell comes, and its first table says what is missing."""

import ast
from datetime import date, timedelta
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest
import yaml

from crmlab.loop import Asked, run_study

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "loop" / "1_analysis.ipynb"


def day(n):
    return date(2024, 1, 1) + timedelta(days=n)


DATA = {
    "one order": [("a", day(0), 10)],
    "one customer": [("a", day(7 * i), 10 + i) for i in range(20)],
    "two customers": [(f"c{i % 2}", day(5 * i), 10 + i) for i in range(30)],
    "one day": [(f"c{i}", day(0), 10 + i) for i in range(50)],
    "one week": [(f"c{i % 30}", day(i % 7), 5 + i % 3) for i in range(100)],
    "nobody returns": [(f"c{i}", day(i % 170), 10 + i % 7) for i in range(200)],
    "all equal but for rounding": [(f"c{i % 40}", day((i * 37) % 170), 4.99) for i in range(400)],
    "all free": [(f"c{i % 40}", day((i * 37) % 170), 0) for i in range(400)],
    "all returned": [(f"c{i % 40}", day((i * 37) % 170), -5) for i in range(100)],
    "nothing yet": [(f"c{i % 40}", day(200 + i), 5) for i in range(100)],
    "one whale": [(f"c{i % 40}", day((i * 37) % 170), 5 + i % 4) for i in range(300)]
    + [("whale", day(3 * i), 99_999) for i in range(50)],
}


def study(folder, name):
    rows = [("customer_id", "date", "amount"), *DATA[name]]
    (folder / "lines.csv").write_text("".join(f"{c},{d},{a}\n" for c, d, a in rows))
    params = {
        "study": "small",
        "title": "A small company",
        "mode": "replay",
        "consent": "assumed",
        "seed": 1,
        "data": {"extracted_on": "2024-12-31", "files": {"transactions": {"path": "../lines.csv"}}},
        "cycles": [{"cycle": "c1", "as_of": "2024-06-30", "outcome_window": "4w"}],
        "activation": {"budget": 5, "cost_per_contact": 0.5},
    }
    path = folder / "params" / "small.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(params))
    return path


@pytest.mark.parametrize("name", DATA)
def test_every_cell_of_the_analysis_comes_with_its_pictures(name, tmp_path):
    path, space, shown = study(tmp_path, name), {"__name__": "__main__"}, []
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        code = ast.parse(cell.source)
        last = code.body.pop() if isinstance(code.body[-1], ast.Expr) else None
        exec(compile(code, "cell", "exec"), space)
        if last is not None:
            result = eval(compile(ast.Expression(last.value), "cell", "eval"), space)
            shown.append(result._repr_html_() if hasattr(result, "_repr_html_") else "")
            for number in plt.get_fignums():
                plt.figure(number).canvas.draw()
            plt.close("all")
        if "parameters" in cell.metadata.get("tags", []):
            space.update(study=str(path), cycle="c1")
    page = " ".join(shown)
    assert ">nan" not in page
    assert " nan" not in page
    assert not (tmp_path / "reports").exists() or not list((tmp_path / "reports").rglob("manifest.json"))


@pytest.mark.parametrize("name", ["nobody returns", "nothing yet", "one customer"])
def test_without_lifetime_value_the_page_is_published_and_no_list_is_made(name, tmp_path):
    path = study(tmp_path, name)
    done = run_study(path, Asked(today=date(2025, 1, 1), pictures=False))
    states = {d.stage: (d.state, d.exit_code) for d in done}
    assert states["analysis"] == ("published", 0), [d.message for d in done]
    assert states["activation"][1] == 3, [d.message for d in done]
    assert not list((tmp_path / "reports").glob("*/*/2_activation*/tables/plan.parquet"))
