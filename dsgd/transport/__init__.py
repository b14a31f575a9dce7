"""Messages between ranks: frames of raw arrays over ZeroMQ, the keys of a fit, channels with deadlines."""

from .channel import Channel
from .endpoint import Security
from .keys import FitKeys

__all__ = ["Channel", "FitKeys", "Security"]
