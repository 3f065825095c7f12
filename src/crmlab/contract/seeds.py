"""Randomness from the study's seed and from names, never from global state."""

import hashlib

import numpy as np


def integer_seed(seed: int, *names: str) -> int:
    """A 63-bit seed that depends on nothing but `seed` and `names`."""
    text = "\x1f".join((str(int(seed)), *map(str, names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: str) -> np.random.Generator:
    """A generator whose stream depends on nothing but `seed` and `names`.

    Parameters
    ----------
    seed
        The study's seed.
    names
        What the numbers are for, for example ``("homogeneity", cycle, segment)``: another name is
        another, independent stream, so adding an analysis changes no other analysis's numbers.
    """
    return np.random.default_rng(np.random.SeedSequence(integer_seed(seed, *names)))
