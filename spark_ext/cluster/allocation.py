"""Dynamic allocation: Spark starts no gang under it, so a fit goes by the engine's own rounds, and says so.

In come a session and a configuration; out come whether a gang can start, the configuration that needs none, and into how many
shares the rows go when nobody says, where the executors come and go with the jobs.
"""

from dataclasses import replace

from dsgd.errors import ConfigError
from dsgd.train.config import FitConfig
from dsgd.train.modes import Sync, name_of

from . import slots
from .session import Session

SETTING = "spark.dynamicAllocation.enabled"
_MOST_EXECUTORS = "spark.dynamicAllocation.maxExecutors"
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
    if not isinstance(config.mode, Sync):
        raise ConfigError(
            f"Spark starts no gang (a barrier stage) under {SETTING}=true, which mode='{name_of(config.mode)}' needs; use "
            "mode='sync', or turn dynamic allocation off"
        )
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
    each, most = _slots_each(session), slots.number(session, _MOST_EXECUTORS, 0)
    named = ("dynamicAllocation.minExecutors", "dynamicAllocation.initialExecutors", "executor.instances")
    begun = max(slots.number(session, f"spark.{name}", 0) for name in named)
    return min(_MOST_SHARES, (most or begun) * each or max(2, session.slots()))


def _slots_each(session: Session) -> int:
    """Slots of an executor, by the settings."""
    return max(1, slots.number(session, "spark.executor.cores", 1) // slots.task_cpus(session))


def require_crew(session: Session, servers: int, workers: int) -> None:
    """Wait for a slot for every member of a crew.

    Where executors come with the tasks that want them, only what the settings allow is looked at.

    Raises
    ------
    ConfigError
        When the slots do not come within 15 seconds, or cannot.
    """
    size = servers + workers
    if not forbids_gangs(session):
        found = slots.awaited(session, size)
    elif not (found := slots.number(session, _MOST_EXECUTORS, 0) * _slots_each(session)):
        return
    if size > found:
        raise ConfigError(
            f"{servers} parameter shards and {workers} workers need {size} slots, one each, and the application runs {found}"
            " tasks at the same time: workers = slots - shards, with at least 2 slots; lower n_workers or shards, or"
            f" {slots.MORE}"
        )
