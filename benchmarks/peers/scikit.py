"""scikit-learn: one epoch of SGDClassifier, L-BFGS logistic regression at its best of three C, and numpy's read bandwidth."""

import numpy as np
from sklearn.linear_model import LogisticRegression, SGDClassifier

from ..measure import Sample, Stopwatch, log_loss, timed

STRENGTHS = (0.1, 1.0, 10.0)
ITERATIONS = 100


def sgd_epoch(X, y) -> Sample:
    """One call of ``partial_fit``: one pass, row by row, over X (n, d) dense or CSR float32."""
    model = SGDClassifier(loss="log_loss", random_state=0)
    return timed(lambda: model.partial_fit(X, y, classes=[0, 1]))


def read_bandwidth(X: np.ndarray) -> Sample:
    """``numpy.sum`` over all of X: what one core reads."""
    return timed(X.sum)


def best_strength(X, y, X_test, y_test) -> tuple[float, list[dict]]:
    """The C of the lowest hold-out log-loss, and what each cost."""
    tried = []
    for strength in STRENGTHS:
        sample = lbfgs(X, y, X_test, y_test, strength)
        tried.append({"C": strength, "seconds": sample.seconds, "loss": sample.loss, **sample.detail})
    return min(tried, key=lambda one: one["loss"])["C"], tried


def lbfgs(X, y, X_test, y_test, strength: float) -> Sample:
    """``LogisticRegression(C=strength, max_iter=100)``: the time of ``fit``, and its hold-out log-loss."""
    model = LogisticRegression(C=strength, max_iter=ITERATIONS)
    clock = Stopwatch()
    with clock.running():
        model.fit(X, y)
    loss = log_loss(model.decision_function(X_test), y_test)
    return Sample(clock.seconds, loss, {"C": strength, "iterations": int(model.n_iter_[0])})
