"""What runs in a benchmark's own process, for training with parameter shards: the functions are as those of :mod:`.runs`."""

from dataclasses import asdict

from . import click
from .measure import take_turns

# Seconds after which no further round begins.
_BUDGET = 480.0


def stragglers(rows: int, rounds: int) -> dict:
    """The time to one hold-out loss, of a synchronous ring and of asynchronous workers; and with one worker slowed."""
    from dsgd import Async, Sync

    from .ours import crews

    directory, modes = click.click(rows), {"ring": Sync(), "async": Async()}
    sides = {
        f"{name}{suffix}": lambda mode=mode, slowed=slowed: crews.to_loss(directory, mode, slowed=slowed)
        for suffix, slowed in (("", False), ("_slow", True))
        for name, mode in modes.items()
    }
    for side in sides.values():
        side()  # compiles
    return {"samples": take_turns(sides, rounds, _BUDGET), "units": rows}


def round_trips(rounds: int) -> dict:
    """Pushes of two processes to one shard's process, each answered by the weights, in every way of :mod:`.ours.servers`."""
    from .ours import servers

    return {
        "samples": {way: [asdict(sample) for sample in found] for way, found in servers.measure(rounds).items()},
        "units": 1,
    }
