"""Time-invariant covariates: customers of whom different things are known buy, leave and spend at different rates.

Fader & Hardie (2007), Incorporating Time-Invariant Covariates into the Pareto/NBD and BG/NBD Models; Abe (2009),
"Counting Your Customers" One by One, Marketing Science 28(3).

With covariates z a customer's rates are the model's, multiplied: of purchasing by exp(γ'z), that is α/exp(γ'z); of
leaving by exp(δ'z), that is β/exp(δ'z) of the Pareto/NBD, while the BG/NBD, which has no such rate, takes a·exp(δ'z)
and b·exp(−δ'z), multiplying the odds of leaving by exp(2δ'z); the value of a purchase by exp(ζ'z).

Priors: a coefficient is Normal(0, 0.5) for a covariate in units of its standard deviation. In words: one standard
deviation of a covariate leaves a rate as it is, give or take a factor of e (95 %). The other priors are those of the
model, of a customer whose covariates are average.

Parameters are in units of the covariates as they are: a coefficient is the effect of one unit, the others are those of
a customer whose covariates are all 0, as in the note. So they hold for new customers without more.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from crmlab.clv.models.maths import NUMPY
from crmlab.clv.models.model import Model, Values, as_column
from crmlab.contract import Fault, Refused, Sentence

COEFFICIENT = (0.0, 0.5)
FARTHEST = 300.0
"""Standard deviations from 0 that a covariate's mean may lie: beyond, the parameters at 0 are no numbers any more."""

PREDICTIONS = (
    "p_alive",
    "expected_purchases",
    "future_purchases",
    "expected_value",
    "future_spend",
    "survival",
    "expected_renewals",
)

Effect = tuple[str, str, tuple[tuple[str, int], ...]]
"""A coefficient's name, its covariate, and the parameters multiplied by exp(sign · coefficient · covariate)."""


def with_covariates(
    model: Model, *, purchase: Sequence[str] = (), dropout: Sequence[str] = (), value: Sequence[str] = ()
) -> Model:
    """A model of the same kind, whose rates depend on columns of the history.

    Parameters
    ----------
    model
        A registered model.
    purchase, dropout, value
        Columns of numbers that act on how often customers buy, how soon they leave, what a purchase is worth. Their
        coefficients are parameters: ``purchase_income``, ``dropout_income``, ``value_income`` …

    Raises
    ------
    Refused
        Where the model has nothing that such covariates could act on.
    """
    effects = _effects(model, {"purchase": purchase, "dropout": dropout, "value": value})
    coefficients = tuple(name for name, _, _ in effects)
    covariates = tuple(dict.fromkeys(column for _, column, _ in effects))

    def own(parameters: Values, data: Mapping[str, Any], xp: Any = NUMPY) -> dict[str, Any]:
        """The parameters of each row."""
        found = {k: v for k, v in parameters.items() if k not in coefficients}
        for name, column, places in effects:
            for parameter, sign in places:
                found[parameter] = found[parameter] * xp.exp(sign * parameters[name] * data[column])
        return found

    def natural(theta: Values, constants: Values, xp: Any) -> dict[str, Any]:
        found = model.natural(theta, constants, xp)
        for name, column, places in effects:
            effect = theta[name] / constants[f"{column}_sd"]
            for parameter, sign in places:
                found[parameter] = found[parameter] * xp.exp(-sign * effect * constants[f"{column}_mean"])
            found[name] = effect
        return found

    def constants(history: pd.DataFrame) -> dict[str, float]:
        values = model.rows(history)[list(covariates)].astype(float)
        spread = values.std(ddof=0).where(lambda sd: sd > 0, 1.0)
        scales = {f"{c}_mean": float(values[c].mean()) for c in covariates}
        return model.constants(history) | scales | {f"{c}_sd": float(spread[c]) for c in covariates}

    def predicting(predict: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        def predicted(draws: Values, history: pd.DataFrame, *rest: Any, **named: Any) -> np.ndarray:
            data = {c: history[c].to_numpy(float)[:, None] for c in covariates}
            return predict(own(as_column(draws), data), history, *rest, **named)

        return predicted

    def simulate(parameters: Values, history: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        return model.simulate(own(parameters, {c: history[c].to_numpy(float) for c in covariates}), history, rng)

    given_alive = getattr(model, "given_alive", ())
    return replace(
        model,
        name=f"{model.name} by {', '.join(coefficients)}",
        title=f"{model.title}, covariates",
        source=f"{model.source}; Fader & Hardie 2007",
        parameters=(*model.parameters, *coefficients),
        priors={**model.priors, **dict.fromkeys(coefficients, COEFFICIENT)},
        natural=natural,
        columns=(*model.columns, *covariates),
        faults=lambda history: [*model.faults(history), *covariate_faults(history, covariates)],
        too_little=lambda history: [*model.too_little(history), *_too_little(model.rows(history), covariates)],
        constants=constants,
        log_likelihood=lambda parameters, data, xp=NUMPY: model.log_likelihood(own(parameters, data, xp), data, xp),
        fast=None,
        simulate=simulate,
        **{name: predicting(getattr(model, name)) for name in PREDICTIONS if hasattr(model, name)},
        **({"given_alive": (*given_alive, *covariates)} if given_alive else {}),
    )


def covariate_faults(history: pd.DataFrame, columns: Sequence[str]) -> list[Fault]:
    """Everything that is wrong with columns of covariates: absent, not numbers, missing values."""
    faults = []
    for column in columns:
        if column not in history:
            faults.append(Fault(column, "this covariate is missing; join it to the history, one value a customer"))
            continue
        values = history[column]
        if not pd.api.types.is_numeric_dtype(values):
            faults.append(Fault(column, "text; a covariate is a number or yes/no: make a 0/1 column of each category"))
        elif missing := int((~np.isfinite(values.astype(float))).sum()):
            faults.append(Fault(column, f"no number for {missing:,} customers; fill it, or leave the covariate out"))
    return faults


def described(history: pd.DataFrame, traits: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """A history with traits joined to it as columns of numbers; yes/no becomes 1/0.

    Parameters
    ----------
    history
        One row a customer, with customer_id.
    traits
        One row a customer: customer_id and the traits.
    names
        The traits that become covariates; a name given twice counts once.

    Raises
    ------
    Refused
        Naming every trait that is absent, text, not known of all customers, or called like a column of the history.
    """
    names = list(dict.fromkeys(names))
    known = [name for name in names if name in traits and name not in history]
    faults = [
        Fault(name, f"no such trait; there are: {', '.join(sorted(map(str, traits.columns.drop('customer_id'))))}")
        for name in names
        if name not in traits
    ]
    faults += [Fault(name, "is a column of the history; call the trait otherwise") for name in names if name in history]
    by_customer = traits.set_index("customer_id")[known].reindex(history["customer_id"])
    numbers = {c: v.astype(float) for c, v in by_customer.items() if pd.api.types.is_numeric_dtype(traits[c])}
    joined = history.assign(**{c: numbers.get(c, by_customer[c]).to_numpy() for c in known})
    faults += covariate_faults(joined, known)
    if faults:
        raise Refused("clv.covariates", faults)
    return joined


def _effects(model: Model, asked: Mapping[str, Sequence[str]]) -> list[Effect]:
    """Every coefficient; a process that the model does not have is refused, and so is asking for nothing."""
    purchase, value = model.purchase_scale, model.value_scale
    places = {
        "purchase": ((purchase, -1),) if purchase else (),
        "dropout": model.dropout_scale,
        "value": ((value, 1),) if value else (),
    }
    able = ", ".join(process for process, where in places.items() if where) or "nothing"
    faults = [
        Fault(process, f"covariates of {model.title} can act on {able}")
        for process, columns in asked.items()
        if columns and not places[process]
    ]
    effects = [(f"{p}_{c}", c, places[p]) for p, columns in asked.items() for c in dict.fromkeys(columns)]
    taken = {*model.columns, *model.priors, *model.parameters}
    faults += [Fault(c, "is a column or parameter of the model itself") for _, c, _ in effects if c in taken]
    if not effects:
        faults.append(Fault("", "no covariate is named"))
    if faults:
        raise Refused("clv.covariates", faults)
    return effects


def _too_little(used: pd.DataFrame, covariates: Sequence[str]) -> list[Sentence]:
    """Why covariates of these customers cannot be fitted, although each is a number."""
    said = []
    for column in covariates:
        values = used[column].to_numpy(float)
        away = abs(values.mean()) / values.std() if len(values) and np.ptp(values) > 0 else np.inf
        if np.isinf(away):
            said.append(Sentence("The covariate {name} is the same for everybody.", {"name": column}, tone="bad"))
        elif away > FARTHEST:
            said.append(
                Sentence(
                    "The covariate {name} lies {away:,.0f} standard deviations from 0: subtract a value near its mean.",
                    {"name": column, "away": away},
                    tone="bad",
                )
            )
    return said
