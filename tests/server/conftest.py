"""Keys of a fit, and crews that are closed when a test ends."""

import pytest

from dsgd.transport import FitKeys, Security

from .hosts import Crew


@pytest.fixture(scope="module")
def keys():
    return FitKeys.generate()


@pytest.fixture
def security(keys):
    return Security(keys)


@pytest.fixture
def new_crew(security):
    """Make crews that the test need not close."""
    crews = []

    def make(used=security, **more) -> Crew:
        crews.append(Crew(used, **more))
        return crews[-1]

    yield make
    for crew in crews:
        crew.close()
