"""What a person sees: tables, a fit while it runs, its curve. Plain text everywhere, HTML in a notebook; knows no model."""

from .progress import shown
from .table import Table

__all__ = ["Table", "shown"]
