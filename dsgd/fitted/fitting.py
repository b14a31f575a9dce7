"""A fit as the faces ask for it: as :func:`dsgd.train.fit.fit`, and where its ranks are to save the model, that, too."""

from dataclasses import replace
from typing import Any

from ..data.dataset import Dataset
from ..errors import ConfigError
from ..train import fit as training
from ..train.config import FitConfig, TrainedLinear
from ..train.engine import Engine
from ..train.modes import Columns, Hybrid
from .files import sharded_header
from .model import fields_of
from .shards.saving import Saving
from .shards.stored import StoredModel


def fit(dataset: Dataset, config: FitConfig, engine: Engine, *, initial: TrainedLinear | None = None, **options: Any):
    """Train a linear model; parameters, answer and errors are those of :func:`dsgd.train.fit.fit`.

    With a mode whose ``save_to`` is given the ranks write the model there, and ``kept`` of the answer is the model: a
    :class:`StoredModel`.

    Raises
    ------
    ConfigError
        Also for a model to go on from, whose optimiser's state would have to be in one process.
    CheckpointError
        When what the ranks have written is not there.
    """
    mode = config.mode
    if not isinstance(mode, (Columns, Hybrid)) or mode.save_to is None:
        return training.fit(dataset, config, engine, initial=initial, **options)
    if initial is not None:
        refuse_going_on(config)
    with Saving(mode.save_to, mode.overwrite) as saving:
        trained = training.fit(dataset, config, engine, keep=saving.keep, **options)
        rest = fields_of(trained)
        shape = len(trained.coef), trained.spec.layout.size
        shards = saving.shards(trained.kept, shape, rest.pop("coef").dtype.name)
        model = StoredModel.at(saving.place, shards, **rest)
        saving.finish(sharded_header(model))
    return replace(trained, kept=model)


def refuse_going_on(config: FitConfig) -> None:
    """Raise ConfigError for a fit whose ranks save the model: there is nothing to go on from."""
    if isinstance(config.mode, (Columns, Hybrid)) and config.mode.save_to is not None:
        raise ConfigError(
            "save_to is for fits that begin anew: to go on from a model its weights and the optimiser's state would have to be "
            "in one process; leave save_to out, or warm_start, partial_fit, coef_init and intercept_init"
        )
