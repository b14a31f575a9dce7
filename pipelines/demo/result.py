"""What one run of the demo gives: how it was done, what it took and how good it is.

Plain data that the table and the report are made from.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """One fitted model.

    Attributes
    ----------
    engine, mode : str
        As shown to the reader.
    seconds : float
        Wall time of ``fit``: reading the files, encoding, training; the engine's session had been started before.
    rows : int
        Training rows times passes over them.
    log_loss, auc : float
        On the held-out months.
    passes : int
        Over the training rows.
    training : float
        Seconds of ``seconds`` from when the rows were encoded to the end of the last pass.
    """

    engine: str
    mode: str
    seconds: float
    rows: int
    log_loss: float
    auc: float
    passes: int
    training: float

    @property
    def rows_per_second(self) -> float:
        """Rows that the whole of ``fit`` passed over in a second."""
        return self.rows / self.seconds

    @property
    def label(self) -> str:
        """Engine and mode in one string."""
        return f"{self.engine}, {self.mode}"
