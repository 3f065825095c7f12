"""Which model of purchases predicts a withheld period best, and by how much."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import ibis
import numpy as np
import pandas as pd

from crmlab.clv.chosen import counts_chances
from crmlab.clv.fitting.fit import Fit, fit
from crmlab.clv.models.model import PurchaseModel
from crmlab.clv.models.registry import FAMILIES, MODELS, family
from crmlab.clv.params import CLVParams
from crmlab.clv.validation.comparison_result import CLEARLY, COLUMNS, NO, PACE, PACE_TITLE, YES, Comparison
from crmlab.clv.validation.scores import gini, log_predictive, rank_correlation
from crmlab.clv.validation.validate import compare
from crmlab.clv.validation.validation_result import Validation
from crmlab.clv.validation.withheld import Withheld, pace, withhold
from crmlab.clv.value.predict import kept
from crmlab.contract import Refused, Sentence, generator, mark

HISTORY = frozenset(("x", "t_x", "T", "litt"))
"""What is known of every customer: models that read more are not compared."""

NO_RIVAL = Sentence(
    "The model in use counts chances to buy, the others count days: there is nothing to compare it with here."
)
SCORED_DRAWS = 100
SCORED = 5_000
"""Customers whose probabilities are computed: more are sampled, at random."""


def compare_models(
    orders: ibis.Table, *, as_of: date, params: CLVParams, seed: int, models: Sequence[str] | None = None
) -> Comparison:
    """Fit several models of purchases to the same calibration and score them on the same validation period.

    Parameters
    ----------
    orders
        One row an order: customer_id, date, amount.
    as_of
        Last day that is seen; the validation period ends with it.
    params
        Model in use, sampler and gate, length of the validation period.
    seed
        The study's seed.
    models
        Names of models or families; by default all that read nothing but purchase times, families as one.
    """
    withheld = withhold(orders, as_of=as_of, params=params)
    if withheld.why:
        return Comparison(pd.DataFrame(columns=COLUMNS), withheld.basis(), 0, unfit=(withheld.why,))
    if counts_chances(params):
        return Comparison(pd.DataFrame(columns=COLUMNS), withheld.basis(), 0, unfit=(NO_RIVAL,))
    chosen = list(models or default_models())
    if params.purchases not in chosen:
        chosen.insert(0, params.purchases)
    scored = np.arange(len(withheld.before))
    if len(scored) > SCORED:
        scored = np.sort(generator(seed, "clv", "comparison").choice(len(scored), SCORED, replace=False))
    rows, scores, failures, in_use = [], {}, [], params.purchases
    notes = [] if len(scored) == len(withheld.before) else [_sampled(len(scored))]
    for name in chosen:
        found = fitted_or_why(name, withheld, params=params, seed=seed)
        if isinstance(found, Fit) and found.passed:
            said = compare(
                withheld.before,
                withheld.actual,
                found,
                weeks=withheld.weeks,
                params=params,
                seed=seed,
                basis=withheld.basis(),
            )
            draws = kept(found.draws, SCORED_DRAWS)
            history, counts = withheld.before.iloc[scored], withheld.actual[scored]
            scores[found.model] = log_predictive(found.fitted, draws, history, counts, withheld.weeks)
            rows.append(as_row(found, said, scores[found.model]))
            notes.extend(found.notes)
            in_use = found.model if name == params.purchases else in_use
        else:
            failures.extend(found.failures if isinstance(found, Fit) else found)
            rows.append({"model": name, "title": title_of(name), "status": mark("failed")})
    rows.append(naive_row(withheld))
    table = against(pd.DataFrame(rows, columns=COLUMNS).drop_duplicates("model"), scores, in_use)
    return Comparison(
        table=table,
        basis=withheld.basis(),
        weeks=withheld.weeks,
        actual=float(withheld.actual.sum()),
        in_use=in_use,
        recommended=recommend(table, scores, in_use),
        notes=tuple(notes),
        failures=tuple(failures),
        scores=scores,
    )


def _sampled(number: int) -> Sentence:
    return Sentence("The log scores are those of {n:,} customers drawn at random.", {"n": number})


def default_models() -> list[str]:
    """Models of purchases in continuous time, without covariates; of a family the first, and the best by evidence."""
    found = []
    for name, model in MODELS.items():
        if isinstance(model, PurchaseModel) and set(model.columns) <= HISTORY:
            of = next((f for f, members in FAMILIES.items() if name in members), None)
            if of is None or family(of)[0] == name:
                found.extend([name, of] if of else [name])
    return found


def title_of(name: str) -> str:
    """How a model, or the first of a family, is called on a page."""
    return MODELS[(family(name) or (name,))[0]].title


def fitted_or_why(name: str, withheld: Withheld, *, params: CLVParams, seed: int) -> Fit | tuple[Sentence, ...]:
    """The fit to the calibration; or, where the model refuses its history, the reason."""
    rests_on = withheld.basis(withheld.until)
    try:
        return fit(withheld.before, name, seed=seed, name="calibration", params=params, basis=rests_on)
    except Refused as refused:
        said = {"model": title_of(name), "why": "; ".join(fault.what for fault in refused.faults)}
        return (Sentence("{model} could not be fitted: {why}.", said, tone="bad"),)


def as_row(fitted: Fit, found: Validation, scores: np.ndarray) -> dict[str, Any]:
    """A fitted model's row of the table."""
    customers = found.coverage.table.iloc[0]
    return {
        "model": fitted.model,
        "title": fitted.fitted.title,
        "status": mark("fitted"),
        "parameters": len(fitted.fitted.parameters),
        "method": fitted.method,
        "k_hat": fitted.k_hat,
        "log_score": float(scores.mean()),
        "mae": found.mae,
        "rmse": found.rmse,
        "rank_correlation": found.rank_correlation,
        "gini": found.gini,
        "covered_50": customers["covered_50"],
        "covered_90": customers["covered_90"],
        "predicted": found.predicted,
        "low": found.low,
        "high": found.high,
        "holds": YES if found.low <= found.actual <= found.high else NO,
    }


def naive_row(withheld: Withheld) -> dict[str, Any]:
    """The row of "everyone goes on at the pace so far": a number a customer, without probabilities."""
    naive = pace(withheld.before, withheld.weeks)
    errors = naive - withheld.actual
    return {
        "model": PACE,
        "title": PACE_TITLE,
        "status": mark("rule of thumb"),
        "mae": float(np.abs(errors).mean()),
        "rmse": float(np.sqrt((errors**2).mean())),
        "rank_correlation": rank_correlation(naive, withheld.actual),
        "gini": gini(naive, withheld.actual),
        "predicted": float(naive.sum()),
    }


def against(table: pd.DataFrame, scores: dict[str, np.ndarray], in_use: str) -> pd.DataFrame:
    """The table with differences from the model in use, the best log score first, failures last."""
    if in_use in scores:
        for row, name in zip(table.index, table["model"], strict=True):
            if name in scores:
                table.loc[row, ["difference", "se"]] = paired(scores[name], scores[in_use])
    order = table.assign(failed=table["status"] == "failed").sort_values(
        ["failed", "log_score"], ascending=[True, False], kind="stable", na_position="last"
    )
    return order.drop(columns="failed").reset_index(drop=True)


def paired(scores: np.ndarray, others: np.ndarray) -> tuple[float, float]:
    """Mean difference of two models' log probabilities, and its standard error over customers."""
    differences = scores - others
    return float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(len(differences)))


def recommend(table: pd.DataFrame, scores: dict[str, np.ndarray], in_use: str) -> str:
    """The model in use where none is distinguishably better; else the simplest that cannot be told from the best."""
    ranked = table[table["log_score"].notna()]
    if ranked.empty:
        return ""
    best = ranked["model"].iloc[0]
    rivals = []
    for name, parameters in zip(ranked["model"], ranked["parameters"], strict=True):
        difference, se = paired(scores[best], scores[name])
        if name == best or difference <= CLEARLY * se:
            rivals.append((name, parameters))
    if in_use in dict(rivals):
        return in_use
    return min(rivals, key=lambda rival: rival[1])[0]
