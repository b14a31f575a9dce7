"""Dynamic allocation: Spark starts no gang under it, so a fit goes by the engine's own rounds, and says so.

In come a session and a configuration; out come whether a gang can start, the configuration that needs none, and into how many
shares the rows go when nobody says, where the executors come and go with the jobs.
"""

from dataclasses import replace

from dsgd.errors import ConfigError
from dsgd.train.config import FitConfig
from dsgd.train.modes import Sync

from . import slots
from .session import Session

SETTING = "spark.dynamicAllocation.enabled"
# Shares at most, when the settings allow more executors than anybody meant for this fit.
_MOST_SHARES = 64


def forbids_gangs(session: Session) -> bool:
    """Whether Spark refuses barrier stages in this application (SPARK-24942)."""
    return session.setting(SETTING, "false").lower() == "true" and not slots.fixed(session)


def without_gang(config: FitConfig) -> FitConfig:
    """The configuration over the engine's rounds: few long ones, and never one a mini-batch.

    ``optimizer="auto"`` has a recipe of few rounds for few weights, and takes whole local epochs for many. All else takes
    local epochs.

    Raises
    ------
    ConfigError
        For what needs a gang.
    """
    alone = config.optimizer == "auto" and config.batch_size == "auto" and config.mode.local_steps == 1
    mode = Sync(topology="engine", local_steps=1 if alone else "epoch", compression=config.mode.compression)
    try:
        return replace(config, mode=mode)
    except ConfigError as error:
        raise ConfigError(
            f"Spark starts no gang (a barrier stage) under {SETTING}=true, and topology='engine', which needs none, does not do"
            f" this: {error}; or turn dynamic allocation off"
        ) from error


def shares(session: Session) -> int:
    """Into how many shares the rows go: the slots of all executors that there may be, if the settings say how many."""
    each = max(1, slots.number(session, "spark.executor.cores", 1) // slots.task_cpus(session))
    most = slots.number(session, "spark.dynamicAllocation.maxExecutors", 0)
    named = ("dynamicAllocation.minExecutors", "dynamicAllocation.initialExecutors", "executor.instances")
    begun = max(slots.number(session, f"spark.{name}", 0) for name in named)
    return min(_MOST_SHARES, (most or begun) * each or max(2, session.slots()))
