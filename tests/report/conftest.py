"""A small executed notebook, as papermill leaves it, with a result, a picture, prose, formulas and messages."""

from dataclasses import dataclass
from datetime import date
from typing import ClassVar

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from crmlab.contract import Basis, Result, Sentence
from crmlab.plots.frame import axes, bundle, finish, plot


@dataclass(frozen=True)
class Segments(Result):
    table: pd.DataFrame
    basis: Basis

    title: ClassVar[str] = "Value by segment"
    note: ClassVar[str] = "Expected discounted margin over the next 52 weeks, with its 90 % interval."
    columns: ClassVar[dict[str, tuple[str, str]]] = {
        "segment": ("Segment", ""),
        "customers": ("Customers", ",d"),
        "clv": ("Value a customer", ",.0f"),
        "low": ("90 % from", ",.0f"),
        "high": ("to", ",.0f"),
    }

    def sentences(self):
        return [
            Sentence("Hardly anyone leaves: P(alive) is near one for nearly everybody here.", {}, "warn"),
            Sentence("{name} carries {share:.0%} of the value.", {"name": "Champions", "share": 0.41}, "good"),
            Sentence("The fit did not converge: no value of customers is shown.", {}, "bad"),
        ]


SEGMENTS = pd.DataFrame(
    {
        "segment": ["Champions", "Loyal <b>&", "Promising", "Rare"],
        "customers": [512, 830, 1010, 3],
        "clv": [1890.4, 820.2, 301.9, 99.0],
        "low": [1750.0, 770.1, 280.5, 12.0],
        "high": [2031.0, 871.9, 330.2, 300.0],
    }
)


@plot
def values(result: Result):
    ax = axes("Value by segment", result.basis)
    ax.barh(result.table["segment"], result.table["clv"])
    alt = Sentence('Bars of value by segment: {name} highest, "by far" > others.', {"name": "Champions"})
    return finish(ax, alt=alt, x="Value a customer", thousands="x")


def segments() -> Segments:
    return Segments(SEGMENTS, Basis(2469, "households", date(2017, 1, 1), date(2017, 5, 7), "descriptive"))


def shown(data: dict, notes: dict | None = None) -> dict:
    return new_output("display_data", data=data, metadata=notes or {})


@pytest.fixture(scope="session")
def notebook() -> nbformat.NotebookNode:
    result = segments()
    picture, notes = bundle(values(result))
    return new_notebook(
        cells=[
            new_markdown_cell("# Who are the customers, and what are they worth?"),
            new_markdown_cell(
                "Every figure on this page rests on purchases up to the day shown above. Later purchases are "
                "invisible to it, as they would have been on that day.\n\n## What was read\n\nRows set aside keep "
                "the reason *why*; see `reading.parquet` and [the paper](https://doi.org/10.1287/mksc.1040.0098)."
            ),
            new_code_cell('study: str = "../../params/example.yaml"  # which study\ncycle: str = "2017-05"'),
            new_code_cell(
                "run = crmlab.open_cycle(study, cycle, stage='analysis')\nrun",
                outputs=[
                    new_output("stream", name="stderr", text="Sampling 0 %\rSampling \x1b[32m100 %\x1b[0m\n"),
                    new_output("execute_result", data={"text/plain": "<crmlab.cycle.OpenCycle at 0x7f0>"}),
                ],
            ),
            new_markdown_cell(
                "## What customers are worth\n\nThe value of a customer is what is expected of them, discounted:\n\n"
                "$$\\text{CLV} = \\sum_{t=1}^{H} \\frac{E[X(t) - X(t-1) \\mid x, t_x, T]\\,\\bar z\\,m}{(1+d)^t}$$\n\n"
                "where $\\lambda \\sim \\Gamma(r, \\alpha)$ and $p$ is the chance of leaving after a purchase.\n\n"
                "### By segment\n\nRead the interval first: where two overlap, nothing is said."
            ),
            new_code_cell(
                "worth = clv(run.orders, as_of=run.as_of)  # one call\nworth",
                outputs=[shown({"text/html": result._repr_html_(), "text/plain": "Segments(...)"})],
            ),
            new_code_cell("plots.values(worth)", outputs=[shown(picture, notes)]),
            new_markdown_cell("## A plain table\n\n| RFM | share |\n|:--|--:|\n| 333 | 12.2 % |\n| 111 | 4.1 % |"),
            new_code_cell(
                "worth.table.head(2)",
                outputs=[shown({"text/html": SEGMENTS.head(2).to_html(), "text/plain": "table"})],
            ),
            new_markdown_cell("## What stopped"),
            new_code_cell(
                "1 / 0",
                outputs=[
                    new_output(
                        "error", ename="ZeroDivisionError", evalue="division by zero", traceback=["\x1b[31mline 1"]
                    )
                ],
            ),
        ]
    )


HEADER = {
    "study": "Corner Shop",
    "cycle": "2017-05",
    "sees data through": "2017-05-07",
    "outcome window": "56 days, to 2017-07-02",
    "mode": "replay: history, whose contacts were not ours; nothing can be exported",
    "consent": "assumed (replay only): no consent was recorded",
    "design": "observational: customers were not contacted at random; descriptive",
    "customers": 2469,
}
