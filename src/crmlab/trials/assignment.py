"""Who is withheld at random: arms by keyed hash, so that nobody's arm depends on who else is there."""

import hmac
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from crmlab.contract import Fault, Refused

CONTROL = "control"
"""The arm of those withheld at random."""

SHORTEST_KEY = 16
"""Bytes below which a key could be guessed, and with it everybody's arm."""


def uniforms(ids: Iterable[str], key: bytes, *names: str) -> np.ndarray:
    """Uniform numbers in [0, 1), one an id, each a function of `key`, `names` and that id alone.

    The first 53 bits of HMAC-SHA256(key, names and id joined by U+001F), divided by 2**53.

    Parameters
    ----------
    ids
        Customer ids, text.
    key
        The secret of the study, at least 16 bytes, kept outside parameters and reports.
    names
        What the numbers are for: other names give independent numbers.

    Returns
    -------
    numpy.ndarray
        float64, shape (len(ids),), in the order of `ids`.
    """
    if not isinstance(key, bytes) or len(key) < SHORTEST_KEY:
        raise Refused("assignment key", "it must be at least 16 random bytes: whoever guesses it knows every arm")
    prefix = "\x1f".join((*map(str, names), "")).encode()
    digest = hmac.digest
    bits = [
        int.from_bytes(digest(key, prefix + i.encode("utf-8", "surrogatepass"), "sha256")[:8], "big") >> 11 for i in ids
    ]
    return np.array(bits, dtype=np.int64).astype(np.float64) * 2.0**-53


def keyed_order(ids: Iterable[str], key: bytes, *names: str) -> pd.Series:
    """Uniform numbers by which ties are broken: fair, repeatable, and independent of everybody's arm.

    Parameters
    ----------
    ids
        Customer ids, text.
    key, names
        See `uniforms`; ``keyed_order(ids, key, study, cycle)`` never equals the numbers behind the arms.

    Returns
    -------
    pandas.Series
        float64 in [0, 1), index customer_id (in the order of `ids`), name ``order``.
    """
    index = _text_index(ids)
    return pd.Series(uniforms(index, key, "order", *names), index=index, name="order")


def assign_arms(
    customer_ids: Iterable[str],
    *,
    shares: float | Mapping[str, float],
    key: bytes,
    study: str,
    cycle: str,
    strata: pd.Series | None = None,
    contacted: str = "contacted",
) -> pd.Series:
    """Arm of each customer: ``control`` where its keyed uniform is below the control share of its stratum.

    Bernoulli assignment: the number withheld varies, but adding, removing or reordering customers changes nobody's
    arm, and raising a share only ever moves customers into the control group.

    Parameters
    ----------
    customer_ids
        Distinct ids, text.
    shares
        Share withheld, in [0, 1]: one for all, or one a stratum.
    key
        The secret of the study, at least 16 bytes.
    study, cycle
        What the assignment is for: each cycle withholds afresh.
    strata
        Stratum of each customer, index customer_id; needed where `shares` differ by stratum.
    contacted
        Name of the arm of those not withheld.

    Returns
    -------
    pandas.Series
        Text, index customer_id sorted, name ``arm``.
    """
    index = _text_index(customer_ids).sort_values()
    share = _share_of_each(index, shares, strata)
    arm = np.where(uniforms(index, key, "arm", study, cycle) < share, CONTROL, contacted)
    return pd.Series(arm, index=index, name="arm", dtype="str")


def _text_index(ids: Iterable[str]) -> pd.Index:
    values = list(ids)
    if not all(isinstance(i, str) for i in values):
        raise Refused("assignment", "a customer id is not text: 00123 and 123 must stay two customers")
    index = pd.Index(values, dtype="str", name="customer_id")
    if not index.is_unique:
        twice = sorted(set(index[index.duplicated()]))[:3]
        raise Refused("assignment", f"customers named twice: {', '.join(twice)}")
    return index


def _share_of_each(index: pd.Index, shares: float | Mapping[str, float], strata: pd.Series | None) -> np.ndarray:
    """Share withheld of each customer, shape (len(index),); refuses whatever leaves one undefined."""
    table = dict(shares) if isinstance(shares, Mapping) else {"": float(shares)}
    faults = [
        Fault(str(stratum), f"share withheld is {share!r}, expected a number from 0 to 1")
        for stratum, share in sorted(table.items())
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1
    ]
    if faults:
        raise Refused("assignment", faults)
    if not isinstance(shares, Mapping):
        return np.full(len(index), table[""])
    if strata is None:
        raise Refused("assignment", "shares differ by stratum, but no strata were given")
    stratum = strata.reindex(index)
    without = stratum.index[stratum.isna()]
    if len(without):
        raise Refused("assignment", f"{len(without)} customers are in no stratum, first {without[0]}")
    unknown = sorted(set(stratum) - set(table))
    if unknown:
        raise Refused("assignment", [Fault(str(s), "no share withheld is given for this stratum") for s in unknown])
    return stratum.map(table).to_numpy(dtype=np.float64)
