"""Every training kernel once more in plain numpy, as simple as the mathematics: what the compiled ones are tested against.

The functions take the arguments of their compiled namesakes, for one output and for k (the loss tells), and have the same
effects, but nothing of their economy: the features become one dense float64 matrix, standardised columns and interactions
included, and a step moves every weight at once. So what is lazy, sparse, folded or blocked there is eager here. Only where
sparse steps mean something else (the rules that are not lazy step touched features only) are features masked.
``scratch`` is part of the common signature, and not needed here.
"""

from itertools import pairwise

import numpy as np

from .protocols import loss_gradient, loss_value, rule_update, schedule_rate
from .rows import Frame, Rows

_MASK64 = (1 << 64) - 1


def features(rows: Rows, frame: Frame, weights: int, standardise: bool = True) -> np.ndarray:
    """Return the rows as a matrix of shape (n, d + 1), float64, its last column 1 for the intercept."""
    n, p = rows.dense.shape
    matrix = np.zeros((n, weights + 1))
    matrix[:, :p] = rows.dense
    if standardise and frame.scale.size:
        matrix[:, :p] = (matrix[:, :p] - frame.center) * frame.scale
    for i in range(n):
        for code in _codes_of_row(rows.codes[i].tolist(), frame):
            matrix[i, code] += 1
        if rows.indptr.size > 1:
            for e in range(rows.indptr[i], rows.indptr[i + 1]):
                matrix[i, rows.indices[e]] += rows.values[e]
    matrix[:, -1] = 1
    return matrix


def _codes_of_row(codes: list[int], frame: Frame) -> list[int]:
    """The row's codes and, after them, the positions of its interactions."""
    positions = list(codes)
    for members, start, mask in zip(
        frame.cross_columns.tolist(), frame.cross_start.tolist(), frame.cross_mask.tolist(), strict=True
    ):
        hashed = 0x27D4EB2F165667C5
        for member in members:
            if member >= 0:
                hashed = ((hashed ^ codes[member]) * 0x9E3779B185EBCA87) & _MASK64
                hashed ^= hashed >> 32
        positions.append(start + (hashed & mask))
    return positions


def _rows_of_runs(rows: Rows, starts, begin: int, end: int, run: int) -> np.ndarray:
    """Numbers of the rows of runs ``begin`` to ``end``, in their order."""
    numbers = [np.arange(start, min(start + run, rows.label.size)) for start in starts[begin:end]]
    return np.concatenate([np.zeros(0, np.intp), *numbers]).astype(np.intp)


def _outputs(loss) -> int:
    return getattr(loss, "outputs", 1)


def _losses_and_slopes(loss, rows, chosen, matrix, params, weight_scale):
    """Weight x loss of the chosen rows, of shape (b,), and weight x derivatives by their scores, of shape (b, k)."""
    scores = matrix[chosen] @ params.reshape(-1, _outputs(loss)).astype(np.float64)
    if rows.offset.size:
        scores += rows.offset[chosen, None]
    target = rows.label[chosen].astype(np.float64)
    weight = np.full(len(chosen), float(weight_scale))
    if rows.weight.size:
        weight *= rows.weight[chosen]
    if hasattr(loss, "outputs"):
        value, slopes = loss.value(scores, target), loss.residuals(scores, target)
    else:
        value = loss_value(loss, scores[:, 0], target)
        slopes = loss_gradient(loss, scores[:, 0], target)[:, None]
    return weight * value, weight[:, None] * slopes


def batch_gradient(loss, rows, frame, starts, begin, end, run, params, weight_scale, grad, scratch):
    """Add the gradient sum by raw columns to ``grad``; return the sum of weight x loss and the number of rows."""
    d = params.size // _outputs(loss) - 1
    chosen = _rows_of_runs(rows, starts, begin, end, run)
    losses, slopes = _losses_and_slopes(loss, rows, chosen, features(rows, frame, d), params, weight_scale)
    grad += (features(rows, frame, d, standardise=False)[chosen].T @ slopes).ravel().astype(grad.dtype)
    return losses.sum(), len(chosen)


def anchored_gradient(loss, rows, frame, starts, begin, end, run, params, anchor, weight_scale, grad, scratch):
    """As ``batch_gradient``, of the difference of the gradients at ``params`` and at ``anchor``."""
    there, here = np.zeros(grad.size), np.zeros(grad.size)
    batch_gradient(loss, rows, frame, starts, begin, end, run, anchor, weight_scale, there, scratch)
    answer = batch_gradient(loss, rows, frame, starts, begin, end, run, params, weight_scale, here, scratch)
    grad += (here - there).astype(grad.dtype)
    return answer


def local_steps(
    loss, rule, schedule, penalty, rows, frame, starts, bounds, run, params, first, second, last, clock, step, base,
    sparse, weight_scale, grad, average, averaged, scratch,
):  # fmt: skip
    """Take one step for each mini-batch, of all weights when the rule is lazy or ``sparse`` is False."""
    batches = [_rows_of_runs(rows, starts, a, z, run) for a, z in pairwise(bounds)]
    masked = sparse and not rule.lazy
    loss_sum = 0.0
    matrix = features(rows, frame, params.size // _outputs(loss) - 1)
    for chosen in batches:
        losses, slopes = _losses_and_slopes(loss, rows, chosen, matrix, params, weight_scale)
        loss_sum += losses.sum()
        gradient = matrix[chosen].T @ slopes / max(len(chosen), 1)
        touched = (gradient != 0).any(axis=1) if masked else np.ones(len(gradient), bool)
        touched[: rows.dense.shape[1]] = True
        touched[-1] = True
        update_features(
            rule, schedule, penalty, _outputs(loss), params, first, second, np.flatnonzero(touched), gradient[touched], step
        )  # fmt: skip
        step += 1
        if average is not None:
            averaged += 1
            average += (params - average) / averaged
    if last is not None:
        last[:] = step - base
    return loss_sum, step, averaged


def online_pass(
    loss, rule, schedule, penalty, rows, frame, starts, run, params, first, second, last, clock, step, base, weight_scale,
    scratch,
):  # fmt: skip
    """Mini-batches of one row, in the order of the runs."""
    numbers = _rows_of_runs(rows, starts, 0, len(starts), run)
    loss_sum, step, _ = local_steps(
        loss, rule, schedule, penalty, rows, frame, numbers, np.arange(len(numbers) + 1), 1, params, first, second, last,
        clock, step, base, True, weight_scale, None, None, 0, scratch,
    )  # fmt: skip
    return loss_sum, step


def update_features(rule, schedule, penalty, outputs, params, first, second, numbers, gradient, step):
    """Step the given features, whose gradient has shape (m, k); feature ``d`` is the intercept and has no penalty."""
    rate = float(schedule_rate(schedule, step))
    d = params.size // outputs - 1
    for number, row in zip(numbers, gradient, strict=True):
        if number == d and not penalty.intercept:
            continue
        l1, l2 = (0.0, 0.0) if number == d else (float(penalty.l1), float(penalty.l2))
        at = slice(number * outputs, (number + 1) * outputs)
        weight, one, two = (
            np.zeros(outputs) if array is None else array[at].astype(np.float64) for array in (params, first, second)
        )
        new = rule_update(rule, weight, one, two, row.astype(np.float64), rate, step + 1, l1, l2)
        for array, value in zip((params, first, second), new, strict=True):
            if array is not None:
                array[at] = value


def update_dense(rule, schedule, penalty, outputs, params, first, second, gradient, factor, step):
    """Step every coordinate with ``factor * gradient``, which is cleared."""
    numbers = np.arange(params.size // outputs)
    values = factor * gradient.reshape(-1, outputs)
    update_features(rule, schedule, penalty, outputs, params, first, second, numbers, values, step)
    gradient[:] = 0


def update_listed(
    rule, schedule, penalty, outputs, params, first, second, last, clock, indices, values, factor, step, base
):
    """Step the listed features; of a lazy rule also the others, with gradient zero, so that ``last`` has no work left."""
    gradient = np.zeros((params.size // outputs, outputs))
    gradient[indices] = factor * values
    numbers = np.asarray(indices) if last is None else np.arange(len(gradient))
    if last is not None and len(gradient) - 1 not in indices:
        numbers = numbers[:-1]
    update_features(rule, schedule, penalty, outputs, params, first, second, numbers, gradient[numbers], step)
    if last is not None:
        last[:] = step + 1 - base


def settle_all(rule, schedule, penalty, outputs, params, first, second, last, clock, start, step, base):
    """Count from zero again: eager steps have left no penalty to catch up with."""
    last[:] = 0


def score_rows(rows: Rows, frame: Frame, params: np.ndarray, outputs: int) -> np.ndarray:
    """Scores of all rows, of shape (n,), or (n, k) for k > 1."""
    scores = features(rows, frame, params.size // outputs - 1) @ params.reshape(-1, outputs)
    if rows.offset.size:
        scores += rows.offset[:, None]
    return (scores[:, 0] if outputs == 1 else scores).astype(params.dtype)
