"""Classes of customers who behave alike: whether there are any, how many, and a model that tells them."""

from dataclasses import replace

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score

from crmlab.contract import Basis, generator, mark
from crmlab.segments.mixture.by_definition import LITTLE_MORE, Definition, definitions
from crmlab.segments.mixture.classes_result import Classes, Found, no_rows
from crmlab.segments.mixture.em import Rows, fit
from crmlab.segments.mixture.held_out import Tried, smallest_as_good, tried
from crmlab.segments.mixture.humps import parted
from crmlab.segments.mixture.model import KMeansModel, MixtureModel, hardly_known
from crmlab.segments.mixture.nearest import STRONG, compactness, nearest_again, nearest_fit, prediction_strengths
from crmlab.segments.mixture.one_cloud import PART, beyond_clouds, gain, hopeless, ordered
from crmlab.segments.mixture.params import MixtureParams
from crmlab.segments.mixture.scale import fitted_scale
from crmlab.segments.mixture.stability import DISSOLVED, jaccards, labels_of, mixture_again
from crmlab.segments.mixture.suited import levels_of, rows_of, suited

__all__ = ["Classes", "fit_classes"]

FEWEST_CUSTOMERS = 100
MOST_FITTED = 20_000
MOST_SEARCHED = 2_500
ASKED_AT = 3
"""Classes at which clouds are asked whether to go on."""


def fit_classes(
    table: pd.DataFrame, catalogue: pd.DataFrame, params: MixtureParams, *, seed: int = 0, name: str = "mixture"
) -> Classes:
    """Classes of customers who behave alike, or that there are none.

    Traits are scaled by frozen transforms, mixtures of 1, 2, … classes are fitted to them, and the fewest classes are
    taken whose likelihood of customers held out is as good as the best. They count as classes only if no cloud of
    customers without classes, with the same traits and correlations, looks so much like it has some, and if each
    comes back in bootstrap samples. k-means is tried beside it.

    Parameters
    ----------
    table
        One row a customer, with a column customer_id or ids as index; in any order.
    catalogue
        What each trait is: name, kind, source, sensitive, allowed_for_splits.
    params
        Which traits, how many classes at most, which method's model is wanted.
    seed, name
        The study's seed, and what the classes are for: folds, starts, clouds and bootstrap samples follow from them.
    """
    table = _in_order(table)
    chosen = suited(table, catalogue, params.traits)
    whole = Classes(table=no_rows(), basis=Basis(len(table), mark("customers")), kind=params.kind, suited=chosen)
    if len(table) < FEWEST_CUSTOMERS:
        return replace(whole, mixture=Found("few"), nearest=Found("few"))
    if not chosen.numbers and len(chosen.categories) < 3:
        return replace(whole, mixture=Found("traits"), nearest=Found("traits"))
    fitted = table.iloc[np.sort(generator(seed, name, "sample").permutation(len(table))[:MOST_FITTED])]
    scales = {t: fitted_scale(_as_numbers(fitted[t])) for t in chosen.numbers}
    levels = {t: levels_of(fitted[t]) for t in chosen.categories}
    rows = rows_of(fitted, tuple(scales), tuple(scales.values()), tuple(levels), tuple(levels.values()))
    known = ~hardly_known(rows)
    fitted, rows = fitted[known], rows.take(known)
    if len(rows) < FEWEST_CUSTOMERS:
        return replace(whole, mixture=Found("few"), nearest=Found("few"))
    drawn = generator(seed, name, "search").permutation(len(rows))[:MOST_SEARCHED]
    part, seen = rows.take(drawn), fitted.iloc[drawn]
    one, mixture, steps = _by_mixture(part, params, seed, name)
    if one is not None:
        final = fit(rows, one.mixture, one.shape)
        mixture = replace(
            mixture, model=MixtureModel.of(final, scales, levels), similar=_ordered(mixture, final.weights)
        )
    centres, nearest, more = _by_nearest(part, params, seed, name)
    if centres is not None:
        model = KMeansModel.of(centres, np.array(nearest.shares), scales)
        nearest = replace(nearest, model=model, similar=_ordered(nearest, np.array(nearest.shares)))
    done = replace(
        whole,
        table=pd.concat([steps, more], ignore_index=True),
        mixture=mixture,
        nearest=nearest,
        agreement=_agreement(table, mixture, nearest),
        sizes=sizes(table, nearest if params.kind == "kmeans" else mixture),
        definitions=definitions(seen, (*scales, *levels), ordered(part), len(scales)),
        fitted=len(rows),
        searched=len(part),
    )
    return replace(done, mere=_mere(done, table))


def _mere(found: Classes, table: pd.DataFrame) -> tuple[tuple[int, Definition], ...]:
    """Classes of the model that are little more than a value that settles other traits."""
    if found.model is None:
        return ()
    classes, mere = found.model.derived(table), []
    for k in range(1, found.model.classes + 1):
        inside = classes == k
        for one in found.definitions:
            who = one.who(table) & np.isfinite(classes)
            if (inside & who).sum() >= LITTLE_MORE * (inside | who).sum():
                mere.append((k, one))
                break
    return tuple(mere)


def _by_mixture(part: Rows, params: MixtureParams, seed: int, name: str) -> tuple[Tried | None, Found, pd.DataFrame]:
    """The mixture that stands, if one does; why; and one row a number of classes tried."""
    humps = parted(part)

    def enough(found: list[Tried]) -> bool:
        one = max(found, key=lambda t: t.mean)
        if humps is not None or found[-1].classes != ASKED_AT or one.classes != ASKED_AT:
            return False
        return hopeless(part, one.classes, one.shape, generator(seed, name, "hopeless"))

    found = tried(part, most=params.most_classes, rng=generator(seed, name, "held out"), enough=enough)
    best = {t.classes: t for t in sorted(found, key=lambda t: t.mean)}
    stable: dict[int, np.ndarray] = {}
    one, reason = smallest_as_good(found), "one"
    beyond = 0.0 if humps is not None or one.classes == 1 else _beyond(part, one, seed, name)
    while one.classes > 1:
        reason = "cloud" if humps is None and beyond <= 0 else ""
        if reason:
            break
        k, labels = one.classes, labels_of(one.mixture, part)
        stable[k] = jaccards(part, labels, mixture_again(part, one.mixture), generator(seed, name, "again", str(k)))
        reason = _dissolves(np.bincount(labels, minlength=k) / len(part), stable[k], params)
        if not reason:
            break
        one = best[k - 1]
    if not reason and len(stable) > 1 and humps is None:
        beyond = _beyond(part, one, seed, name)
        reason = "" if beyond > 0 else "cloud"
    steps = pd.DataFrame(
        {
            "method": mark("mixture"),
            "classes": sorted(best),
            "shape": [best[k].shape for k in sorted(best)],
            "held_out": [best[k].mean for k in sorted(best)],
            "error": [float(best[k].held_out.std(ddof=1) / np.sqrt(len(part))) for k in sorted(best)],
            "similar": [float(stable[k].min()) if k in stable else np.nan for k in sorted(best)],
            "strength": np.nan,
        }
    )
    stands = not reason
    steps["chosen"] = [mark("chosen") if k == (one.classes if stands else 1) else "" for k in steps["classes"]]
    if not stands:
        return None, Found(reason, beyond=beyond), steps
    return one, Found("", similar=tuple(map(float, stable[one.classes])), beyond=beyond, humps=humps), steps


def _beyond(part: Rows, one: Tried, seed: int, name: str) -> float:
    """How far the classes are beyond those of clouds without classes."""
    k, shape = one.classes, one.shape
    draws = generator(seed, name, "clouds", str(k))
    return beyond_clouds(
        part, lambda rows, rng: gain(rows, k, shape, rng), draws, part=PART if one.mixture.means.size else 0.0
    )


def _dissolves(share: np.ndarray, similar: np.ndarray, params: MixtureParams) -> str:
    """Why the classes do not stand, or nothing."""
    if len(similar) < len(share) or similar.min() < DISSOLVED:
        return "unstable"
    return "small" if share.min() < params.min_share else ""


def _by_nearest(
    part: Rows, params: MixtureParams, seed: int, name: str
) -> tuple[np.ndarray | None, Found, pd.DataFrame]:
    """The centres that stand, if any; why; and one row a number of classes tried: the most that are well predicted."""
    if not part.numbers.shape[1]:
        return None, Found("numbers"), no_rows()
    only = Rows.of(part.numbers)
    strengths = prediction_strengths(only, params.most_classes, generator(seed, name, "strength"))
    k = int(np.flatnonzero(strengths >= STRONG).max()) + 1
    steps = pd.DataFrame({"method": mark("k-means"), "classes": np.arange(1, len(strengths) + 1), "shape": ""})
    steps = steps.assign(held_out=np.nan, error=np.nan, similar=np.nan, strength=strengths)
    reason, beyond, centres, similar, share = "one" if k == 1 else "", 0.0, None, np.zeros(0), np.zeros(0)
    humps = parted(only)
    if k > 1 and humps is None:
        beyond = beyond_clouds(only, lambda rows, rng: compactness(rows, k, rng), generator(seed, name, "gap"))
        reason = "" if beyond > 0 else "cloud"
    if not reason:
        centres, labels = nearest_fit(only, k, generator(seed, name, "centres"))
        share = np.bincount(labels, minlength=k) / len(only)
        similar = jaccards(only, labels, nearest_again(only, k), generator(seed, name, "again", "k-means"))
        reason = _dissolves(share, similar, params)
        steps.loc[steps["classes"] == k, "similar"] = float(similar.min())
    steps["chosen"] = [mark("chosen") if c == (1 if reason else k) else "" for c in steps["classes"]]
    if reason:
        return None, Found(reason, beyond=beyond), steps
    stands = Found("", similar=tuple(map(float, similar)), shares=tuple(map(float, share)), beyond=beyond, humps=humps)
    return centres, stands, steps


def sizes(table: pd.DataFrame, found: Found) -> pd.DataFrame:
    """One row a class of the model: class, name, customers, share, certainty (mean probability), similar."""
    if found.model is None:
        return pd.DataFrame(columns=["class", "name", "customers", "share", "certainty", "similar"])
    classes, each = found.model.derived(table), found.model.probabilities(table)
    rows = []
    for k in range(1, found.model.classes + 1):
        inside = classes == k
        sure = float(each.loc[inside, k].mean()) if each is not None and inside.any() else np.nan
        rows.append((k, found.model.class_name(k), int(inside.sum()), float(inside.mean()), sure, found.similar[k - 1]))
    return pd.DataFrame(rows, columns=["class", "name", "customers", "share", "certainty", "similar"])


def _agreement(table: pd.DataFrame, mixture: Found, nearest: Found) -> float:
    """Adjusted Rand index of the two methods' classes; missing where one has none."""
    if mixture.model is None or nearest.model is None:
        return np.nan
    a, b = mixture.model.derived(table), nearest.model.derived(table)
    both = np.isfinite(a) & np.isfinite(b)
    return float(adjusted_rand_score(a[both], b[both]))


def _ordered(found: Found, weights: np.ndarray) -> tuple[float, ...]:
    """Similarities in the order of the model's classes, the largest first."""
    return tuple(found.similar[i] for i in np.argsort(-np.round(weights, 9), kind="stable"))


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    """The customers in the order of their ids."""
    return table.sort_values("customer_id") if "customer_id" in table.columns else table.sort_index()


def _as_numbers(values: pd.Series) -> np.ndarray:
    return pd.to_numeric(values).to_numpy(dtype=np.float64, na_value=np.nan)
