"""Partial pooling: each segment its own parameters, drawn from a common distribution that is learnt with them.

Small segments borrow strength from the others, large ones speak for themselves [Gelman & Hill 2007, Data Analysis Using
Regression and Multilevel/Hierarchical Models, ch. 12].
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from crmlab.clv.fitting import pooling
from crmlab.clv.fitting.expansion import around, around_common_modes, around_modes, log_likelihoods, prior_of
from crmlab.clv.fitting.fit import fit
from crmlab.clv.fitting.gate import gate_nuts
from crmlab.clv.fitting.importance import laplace, log_posterior
from crmlab.clv.fitting.pooled_result import PooledFit
from crmlab.clv.fitting.tables import INTERVAL, chains_table
from crmlab.clv.models.maths import NUMPY
from crmlab.clv.models.model import Arrays, ContractModel, Model, PurchaseModel, just_acquired
from crmlab.clv.models.registry import family
from crmlab.clv.models.registry import model as registered
from crmlab.clv.params import CLVParams
from crmlab.contract import Basis, Fault, Refused, Sentence, generator, mark

PILOT = 100
"""Draws of each chain whose means are where the log-likelihoods are expanded for the chains that count."""

THIN = (2, 8, 32)
"""Sweeps for each draw that is kept: more where the gate asks for it."""

LEAST_ACCEPTED = 0.05
"""Below this share of accepted proposals longer chains are not tried."""

ENOUGH = 500
"""Draws from which what is expected of a new customer is summarised."""

PERIODS = 12


def fit_by_segment(
    history: pd.DataFrame,
    segment: pd.Series,
    model: str | Model,
    *,
    seed: int,
    name: str,
    params: CLVParams,
    basis: Basis | None = None,
) -> PooledFit:
    """Sample the parameters of all segments together, each drawn from a distribution common to all.

    By the Gibbs steps of `crmlab.clv.fitting.pooling`; where R-hat, the effective draws or the proposals accepted fail
    the gate even in long chains, by NUTS in PyMC, and the fit says so. Of a family the member of most evidence, all
    customers taken as one, is fitted.

    Parameters
    ----------
    history
        One row a customer: customer_id and the model's columns.
    segment
        customer_id → segment id, one for each customer of the history. Segments may be of any size, and need no repeat
        purchases of their own.
    model, seed, name, params, basis
        As in `crmlab.clv.fitting.fit.fit`.

    Raises
    ------
    Refused
        When the history or the segments are not what the model can be fitted to, naming every fault.
    """
    if isinstance(model, str) and family(model):
        model = fit(history, model, seed=seed, name=name, params=params).model
    chosen = registered(model) if isinstance(model, str) else model
    if faults := [*chosen.faults(history), *_segment_faults(history, segment)]:
        raise Refused("purchase history", faults)
    member = history["customer_id"].map(segment).astype(str)
    ids = sorted(member.unique())
    histories = [history[member == s] for s in ids]
    used = chosen.rows(history)
    aside = int((history["x"] > 0).sum() - (used["x"] > 0).sum()) if "x" in history else 0
    rests_on = replace(basis or Basis(0, mark("customers")), n=len(used))
    definition = None if isinstance(model, str) else chosen
    alone = Sentence("Fewer than two segments have customers: there is nothing to pool.", tone="warn")
    if lacking := (*chosen.too_little(history), *((alone,) if len(ids) < 2 else ())):
        return _nothing(chosen, rests_on, lacking, definition)
    constants, rng = chosen.constants(history), generator(seed, "clv", chosen.name, name, "segments")
    prior, evaluate = prior_of(chosen), log_likelihoods(chosen, histories, constants)
    start, _ = laplace(log_posterior(chosen, history), prior.mean, prior.sd)
    normals = around_common_modes(evaluate, np.tile(start, (len(ids), 1)), prior)
    size = {"chains": params.chains, "draws": params.draws}
    pilot = pooling.gibbs(evaluate, normals, prior, rng, chains=params.chains, draws=PILOT, thin=1)
    normals = around(evaluate, *(v.mean(axis=(0, 1)) for v in (pilot.theta, pilot.mu, pilot.tau)))
    method, notes = "Gibbs", ()
    for thin in THIN:
        found = pooling.gibbs(evaluate, normals, prior, rng, thin=thin, **size)
        table, common, failures = _judged(chosen, constants, ids, found, params)
        if not failures or found.accepted.min() < LEAST_ACCEPTED:
            break
    if failures:
        from crmlab.clv.fitting.pooled_nuts import sample_pooled_nuts

        method, notes = "NUTS", (_gave_way(chosen, found, table),)
        found = sample_pooled_nuts(chosen, histories, constants, rng, params)
        table, common, failures = _judged(chosen, constants, ids, found, params)
    alone = around_modes(evaluate, normals.theta, prior.mean, prior.sd)
    apart = _natural(chosen, constants, ids, pooling.apart(evaluate, alone, prior, rng, **size))
    draws = _natural(chosen, constants, ids, found.theta)
    common_draws = _natural(chosen, constants, ["common"], found.mu[:, :, None])["common"]
    of_new = _of_a_new_customer(chosen, history, params)
    numbers = {s: len(h) for s, h in zip(ids, histories, strict=True)}
    shares = pooling.borrowed(normals, found.tau.reshape(-1, found.tau.shape[-1]))
    return PooledFit(
        table=table.assign(
            customers=table["segment"].map(numbers),
            apart=[apart[s][p].mean() for s, p in zip(table["segment"], table["parameter"], strict=True)],
        ),
        basis=rests_on,
        expected=_expected(draws, apart, of_new).assign(customers=[*numbers.values()], borrowed=shares),
        common=common,
        model=chosen.name,
        draws=draws,
        typical=float(np.median(of_new(common_draws))),
        divergences=found.divergences,
        passed=not failures,
        failures=tuple(failures),
        set_aside=aside,
        method=method,
        notes=notes,
        definition=definition,
    )


def _nothing(model: Model, basis: Basis, lacking: tuple[Sentence, ...], definition: Model | None) -> PooledFit:
    """A fit that failed before it began."""
    return PooledFit(
        table=pd.DataFrame(columns=["segment", "customers", "parameter"]),
        basis=basis,
        expected=pd.DataFrame(columns=[*PooledFit.columns]),
        common=pd.DataFrame(columns=["coordinate"]),
        model=model.name,
        draws={},
        typical=float("nan"),
        divergences=0,
        passed=False,
        failures=lacking,
        definition=definition,
    )


def _segment_faults(history: pd.DataFrame, segment: pd.Series) -> list[Fault]:
    if "customer_id" not in history:
        return [Fault("customer_id", "this column is missing; segments are joined by it")]
    if segment.index.has_duplicates:
        twice = int(segment.index.duplicated().sum())
        return [Fault("segment", f"{twice} customers appear more than once; give each customer one segment")]
    member = history["customer_id"].map(segment)
    found = []
    if member.isna().any():
        found.append(
            Fault("segment", f"{int(member.isna().sum())} customers are in no segment; give each customer one")
        )
    return found


def _natural(model: Model, constants: dict[str, float], ids: list[str], theta: np.ndarray) -> dict[str, Arrays]:
    """Segment → parameter → (chains, draws), from (chains, draws, segments, k)."""
    found = model.natural(dict(zip(model.priors, np.moveaxis(theta, -1, 0), strict=True)), constants, NUMPY)
    found = {name: np.broadcast_to(value, theta.shape[:-1]) for name, value in found.items()}
    return {s: {name: np.ascontiguousarray(v[:, :, n]) for name, v in found.items()} for n, s in enumerate(ids)}


def _judged(
    model: Model, constants: dict[str, float], ids: list[str], found: pooling.Chains, params: CLVParams
) -> tuple[pd.DataFrame, pd.DataFrame, list[Sentence]]:
    """Segments' parameters, the common distribution, and every statistic of either that fails the gate."""
    draws = _natural(model, constants, ids, found.theta)
    table = pd.concat([chains_table(model, draws[s]).assign(segment=s) for s in ids], ignore_index=True)
    mu, tau = (
        chains_table(model, {name: values[:, :, k] for k, name in enumerate(model.priors)})
        for values in (found.mu, found.tau)
    )
    spread = tau[["mean", "low", "high"]].set_axis(["spread", "spread_low", "spread_high"], axis=1)
    common = mu.rename(columns={"parameter": "coordinate"}).join(spread)
    common["r_hat"] = np.maximum(mu["r_hat"], tau["r_hat"])
    for column in ("ess_bulk", "ess_tail"):
        common[column] = np.minimum(mu[column], tau[column])
    named = table.assign(parameter=table["parameter"] + " (" + table["segment"] + ")")
    shared = common.assign(parameter=common["coordinate"] + " (common)")
    failures = gate_nuts(pd.concat([named, shared]), found.divergences, params=params, model=model.title)
    return table, common.drop(columns="sd"), failures


def _expected(draws: dict[str, Arrays], apart: dict[str, Arrays], of: Callable[[Arrays], np.ndarray]) -> pd.DataFrame:
    records = []
    for segment in draws:
        record: dict[str, Any] = {"segment": segment}
        for name, prefix, values in (("expected", "", of(draws[segment])), ("apart", "apart_", of(apart[segment]))):
            record[name] = float(np.median(values))
            record[f"{prefix}low"], record[f"{prefix}high"] = map(float, np.quantile(values, INTERVAL))
        records.append(record)
    return pd.DataFrame(records)


def _of_a_new_customer(model: Model, history: pd.DataFrame, params: CLVParams) -> Callable[[Arrays], np.ndarray]:
    """What is expected of a customer just acquired, as a function of draws (chains, draws)."""
    new = just_acquired(history)

    def expected(draws: Arrays) -> np.ndarray:
        step = max(1, next(iter(draws.values())).size // ENOUGH)
        flat = {name: values.reshape(-1)[::step] for name, values in draws.items()}
        if isinstance(model, PurchaseModel):
            return model.expected_purchases(flat, new, params.horizon_weeks)[0, 0]
        if isinstance(model, ContractModel):
            return model.expected_renewals(flat, new, PERIODS)[0, 0]
        return model.expected_value(flat, new)[0]

    return expected


def _gave_way(model: Model, found: pooling.Chains, table: pd.DataFrame) -> Sentence:
    return Sentence(
        "{model} by segment: Gibbs sampling was not reliable (largest R-hat {r_hat:.3f}, fewest effective draws "
        "{ess:,.0f}, fewest proposals accepted {accepted:.0%}), so it was sampled by NUTS in PyMC instead.",
        {
            "model": model.title,
            "r_hat": table["r_hat"].max(),
            "ess": table[["ess_bulk", "ess_tail"]].min().min(),
            "accepted": found.accepted.min(),
        },
    )
