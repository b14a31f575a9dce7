"""The seed tree: run -> epoch -> rank.

Every random choice of a fit is drawn from a generator that is addressed by its place in the tree, never from
a stream whose position depends on what ran before; so the same seed gives the same choices on every engine.
"""

import numpy as np

# The branches of the tree, one per kind of choice.
ROWS, ORDER, INIT, VALIDATION, SKETCH, COMPRESSION, FOLDS = range(7)


def generator(seed: int, *path: int) -> np.random.Generator:
    """Return the random generator at ``path`` below ``seed``.

    Parameters
    ----------
    seed : int
        The seed of the run, ``>= 0``.
    *path : int
        Branch, then epoch, rank, block ... as the branch wants, each ``>= 0``.

    Examples
    --------
    >>> a = generator(7, ORDER, 0, 1).integers(1000)
    >>> b = generator(7, ORDER, 0, 1).integers(1000)
    >>> bool(a == b)
    True
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=path)))
