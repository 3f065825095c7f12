"""The gate that a fit must pass before anything is computed from it."""

import pandas as pd

from crmlab.clv.params import CLVParams
from crmlab.contract import Sentence


def gate_importance(table: pd.DataFrame, k_hat: float, *, params: CLVParams, model: str) -> list[Sentence]:
    """One sentence a statistic of importance sampling that fails; a statistic that is not a number fails."""
    failures = too_few(table, params=params, model=model)
    if not k_hat <= params.k_hat:
        failures.append(
            Sentence(
                "{model} failed the gate of its fit: Pareto k̂ of the importance weights is {k_hat:.2f}, above {bound}.",
                {"model": model, "k_hat": k_hat, "bound": params.k_hat},
                tone="bad",
            )
        )
    return failures


def gate_nuts(table: pd.DataFrame, divergences: int, *, params: CLVParams, model: str) -> list[Sentence]:
    """One sentence a statistic of the Markov chains that fails; a statistic that is not a number fails."""
    failures = [
        Sentence(
            "{model} failed the gate of its fit: R-hat of {parameter} is {r_hat:.3f}, above {bound}.",
            {"model": model, "parameter": row["parameter"], "r_hat": row["r_hat"], "bound": params.r_hat},
            tone="bad",
        )
        for row in table.to_dict("records")
        if not row["r_hat"] <= params.r_hat
    ]
    failures += too_few(table, params=params, model=model)
    if divergences:
        failures.append(
            Sentence(
                "{model} failed the gate of its fit: {n:,} divergent transitions, none are allowed.",
                {"model": model, "n": divergences},
                tone="bad",
            )
        )
    return failures


def no_start(model: str) -> Sentence:
    """The chains could not even begin."""
    return Sentence(
        "{model} failed the gate of its fit: the Markov chains found no place to start from.",
        {"model": model},
        tone="bad",
    )


def too_few(table: pd.DataFrame, *, params: CLVParams, model: str) -> list[Sentence]:
    """One sentence a parameter with too few effective draws."""
    failures = []
    for row in table.to_dict("records"):
        values = {"model": model, "parameter": row["parameter"], "bound": params.ess}
        if not row["ess_bulk"] >= params.ess:
            failures.append(
                Sentence(
                    "{model} failed the gate of its fit: {parameter} has {ess:,.0f} effective draws (bulk), "
                    "below {bound:,}.",
                    values | {"ess": row["ess_bulk"]},
                    tone="bad",
                )
            )
        if not row["ess_tail"] >= params.ess:
            failures.append(
                Sentence(
                    "{model} failed the gate of its fit: {parameter} has {ess:,.0f} effective draws (tail), "
                    "below {bound:,}.",
                    values | {"ess": row["ess_tail"]},
                    tone="bad",
                )
            )
    return failures
