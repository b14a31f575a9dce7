"""Gradients that travel in fewer bytes: codecs, error feedback, and the collective that uses both."""

from .codecs import Compressor, Half, Int8, TopK
from .collective import CompressedCollective, compressed

__all__ = ["CompressedCollective", "Compressor", "Half", "Int8", "TopK", "compressed"]
