"""Which parameters of a fit do not go together: tables read before any work starts; each entry says what works."""

from typing import Any

from ..errors import ConfigError
from ..losses import LOSSES, losses_for
from .modes import Columns, Hybrid, by_shards


def refuse_combinations(config: Any) -> None:
    """Raise ConfigError when a :class:`dsgd.train.config.FitConfig` asks for a combination that does not exist."""
    tables = [_of_losses]
    if config.mode.topology == "engine":
        tables.append(_of_rounds)
    if by_shards(config.mode) is not None:
        tables.append(_of_crews)
    if isinstance(config.mode, (Columns, Hybrid)):
        tables.append(_of_blocks)
    for table in (*tables, _of_rules):
        for asked, message in table(config):
            if asked:
                raise ConfigError(message)


# Each table: whether something is asked for that does not go together, and what to say.


def _of_losses(config: Any) -> list[tuple[bool, str]]:
    """The loss with the task, the penalty and the rule."""
    losses: dict[str, Any] = LOSSES
    fitting = list(losses_for(config.task))
    return [
        (
            config.loss not in fitting,
            f"loss={config.loss!r} is not for {config.task}; use one of {fitting}",
        ),
        (
            config.task == "regression" and (config.family != "auto" or config.class_weight is not None),
            "family and class_weight are about classes, which a regression has none of; leave them at their defaults",
        ),
        (
            config.family == "multinomial" and config.loss != "log_loss",
            f"family='multinomial' is for loss='log_loss'; with {config.loss!r} use family='ovr'",
        ),
        (
            config.early_stopping and not 0 < config.validation_fraction < 1,
            "early_stopping=True holds rows out and trains on the others: validation_fraction must be above 0 and below 1, "
            f"not {config.validation_fraction!r}",
        ),
        (
            config.learning_rate == "optimal" and (config.alpha == 0 or (config.penalty is None and not config.plain)),
            "learning_rate='optimal' takes its rates from the penalty: use alpha > 0, or another schedule, such as 'invscaling'",
        ),
        (
            config.optimizer == "svrg" and not losses[config.loss].smooth,
            f"optimizer='svrg' needs a smooth loss and {config.loss!r} has corners; use optimizer='sgd' with average=True",
        ),
    ]


def _of_rounds(config: Any) -> list[tuple[bool, str]]:
    """What an engine's own aggregate does not do."""
    mode, rule, schedule = config.mode, config.optimizer, config.learning_rate
    return [
        (
            mode.local_steps not in (1, "epoch"),
            "topology='engine' costs an engine's job a round, so local_steps must be 1 (full gradients) or 'epoch'; "
            f"{mode.local_steps!r} needs topology='ring' or 'tree'",
        ),
        (
            mode.compression != "none",
            f"topology='engine' adds plain sums up; compression={mode.compression!r} needs topology='ring' or 'tree'",
        ),
        (
            rule == "svrg",
            "optimizer='svrg' takes mini-batch steps; with topology='engine' use optimizer='auto', or topology='ring'",
        ),
        (
            bool(config.average),
            "average=True averages mini-batch steps, and topology='engine' takes none; use topology='ring' or 'tree'",
        ),
        (
            schedule == "adaptive",
            "learning_rate='adaptive' needs topology='ring' or 'tree'; with 'engine' use 'constant' or 'invscaling'",
        ),
        (
            mode.local_steps == 1 and config.batch_size != "auto",
            "topology='engine' with local_steps=1 takes full gradients, not mini-batches; leave batch_size='auto', or use "
            "local_steps='epoch' or topology='ring'",
        ),
    ]


def _of_crews(config: Any) -> list[tuple[bool, str]]:
    """What parameter shards do not do."""
    rule, crew = config.optimizer, by_shards(config.mode)
    return [
        (
            rule == "svrg",
            "optimizer='svrg' compares gradients at weights that all workers have at once; with parameter shards (mode=Async(), "
            "backup_workers) use optimizer='auto', or mode=Sync()",
        ),
        (
            bool(config.average),
            "average=True averages the weights of steps in their order, which those of parameter shards (mode=Async(), "
            "backup_workers) have not; use average=False, or mode=Sync()",
        ),
        (
            rule == "ftrl" and crew is not None and crew.correction == "rate",
            "optimizer='ftrl' has a rate of its own, which cannot be divided by a gradient's staleness; use correction='none' or "
            "'delay'",
        ),
    ]


def _of_blocks(config: Any) -> list[tuple[bool, str]]:
    """What column blocks do not do."""
    return [
        (
            config.optimizer == "svrg",
            "optimizer='svrg' compares gradients of all columns at two models; with column blocks use optimizer='auto', or "
            "mode=Sync()",
        ),
    ]


def _of_rules(config: Any) -> list[tuple[bool, str]]:
    """Update rules with the ways to run them."""
    mode, rule, schedule = config.mode, config.optimizer, config.learning_rate
    gang = config.n_workers > 1 and mode.topology in ("ring", "tree")
    return [
        (
            gang and rule == "svrg" and mode.local_steps != 1,
            f"optimizer='svrg' reduces every step; use local_steps=1, or optimizer='sgd' for {mode.local_steps!r}",
        ),
        (
            gang and rule == "svrg" and mode.compression != "none",
            f"optimizer='svrg' sends exact gradients; use compression='none', or optimizer='sgd' for {mode.compression!r}",
        ),
        (
            rule == "svrg" and bool(config.average),
            "optimizer='svrg' ends at its last iterate, whose noise vanishes; use average=False, or optimizer='sgd'",
        ),
        (
            rule == "svrg" and schedule == "adaptive",
            "optimizer='svrg' lowers its rate by itself when it must; use learning_rate='constant'",
        ),
        (
            rule == "ftrl" and (schedule != "constant" or config.warmup_steps > 0),
            "optimizer='ftrl' has a schedule of its own; use learning_rate='constant' and warmup_steps=0",
        ),
    ]
