"""Do the classes come back? Each class held against the most similar one of bootstrap samples [Hennig 2007]."""

from collections.abc import Callable

import numpy as np

from crmlab.segments.mixture.em import Mixture, Rows, fit, probabilities
from crmlab.segments.mixture.starts import best_start, responsibilities

RESAMPLES = 20
FIRST = 5
HOPELESS = 0.45
STARTS = 3
DISSOLVED = 0.6
"""Mean Jaccard similarity that a class has at least: under a half it dissolves, to .6 it is doubtful [Hennig 2008]."""


def jaccards(
    rows: Rows, labels: np.ndarray, again: Callable[[Rows, np.random.Generator], np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Mean Jaccard similarity of each class with the most similar one of each bootstrap sample.

    Parameters
    ----------
    rows
        The customers.
    labels
        Their classes 0, 1, …, K − 1, shape (n,).
    again
        Sample, generator → the classes of all `rows` under a fit to the sample.
    rng
        Draws the samples: the first five, and no more where a class is below .45 in them.
    """
    found = np.zeros((RESAMPLES, labels.max() + 1))
    for b in range(RESAMPLES):
        other = again(rows.take(rng.integers(len(rows), size=len(rows))), rng)
        found[b] = similar(labels, other)
        if b + 1 == FIRST and found[:FIRST].mean(axis=0).min() < HOPELESS:
            return found[:FIRST].mean(axis=0)
    return found.mean(axis=0)


def similar(labels: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of each class of `labels`, the highest Jaccard similarity with a class of `other`."""
    both = np.zeros((labels.max() + 1, other.max() + 1))
    np.add.at(both, (labels, other), 1.0)
    either = both.sum(axis=1, keepdims=True) + both.sum(axis=0, keepdims=True) - both
    return (both / np.maximum(either, 1)).max(axis=1)


def mixture_again(rows: Rows, mixture: Mixture) -> Callable[[Rows, np.random.Generator], np.ndarray]:
    """Fits the same number and shape of classes to a sample, and classifies all rows."""

    def again(sample: Rows, rng: np.random.Generator) -> np.ndarray:
        begun = responsibilities(sample, mixture.classes, rng, starts=STARTS)
        start = best_start(sample, begun, mixture.shape)
        return labels_of(fit(sample, start, mixture.shape, most_steps=60, enough=1e-4), rows)

    return again


def labels_of(mixture: Mixture, rows: Rows) -> np.ndarray:
    """The most probable class of each row, from 0."""
    return np.round(probabilities(mixture, rows), 9).argmax(axis=1)
