"""Fits that die after so many checkpoints."""

from dsgd.train.checkpoints import keeper


class Interrupted(Exception):
    """Stands for the death of the driver, or of everything."""


def interrupt_after(monkeypatch, saves):
    """Have every rank die after so many checkpoints."""
    original, count = keeper.Keeper.save, {}

    def save(self, *arguments):
        original(self, *arguments)
        count[self._rank] = count.get(self._rank, 0) + 1
        if count[self._rank] == saves:
            raise Interrupted

    monkeypatch.setattr(keeper.Keeper, "save", save)
