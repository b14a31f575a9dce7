"""Whether a secret is somewhere, as it is or as others write it."""

import base64
from collections.abc import Iterable

from dsgd.transport import FitKeys


def forms(secret: bytes) -> list[bytes]:
    """A secret as it is, in hexadecimal digits and in base64, wherever it begins."""
    cut = [base64.b64encode(bytes(shift) + secret)[(4 if shift else 0) : -4] for shift in range(3)]
    return [secret, secret.hex().encode(), *cut]


def secrets_of(keys: Iterable[FitKeys]) -> list[bytes]:
    """What nobody may read: the secret halves of the keys, and the tokens."""
    return [part for key in keys for part in (key.server[1], key.client[1], key.token.encode())]


def found_in(text: bytes, secrets: Iterable[bytes]) -> list[bytes]:
    """The forms of secrets that are in a text."""
    return [form for secret in secrets for form in forms(secret) if form in text]
