"""No parser of foreign bytes raises anything but what it documents, takes memory that was not announced, or hangs."""

import resource
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .__main__ import CORPUS
from .mutations import TELLING, damaged, reworded
from .targets import targets

TARGETS = {target.name: target for target in targets()}
# Bytes that a parser of these small messages may take beside its process's.
_ROOM = 512 << 20
# The same ones each time: new ones are looked for by `make fuzz`.
_quick = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(params=sorted(TARGETS))
def target(request):
    return TARGETS[request.param]


def test_what_is_usual_is_taken(target):
    for seed in target.seeds:
        target.run(seed)


def test_what_says_nothing_is_refused_in_documented_words(target):
    for data in (b"", *TELLING):
        target(data)


def kept(name: str) -> list[Path]:
    return sorted((CORPUS / name).iterdir()) if (CORPUS / name).exists() else []


@pytest.mark.parametrize("path", [path for name in TARGETS for path in kept(name)], ids=lambda path: path.name)
def test_what_was_found_before_is_refused(path):
    TARGETS[path.parent.name](path.read_bytes())


def test_the_corpus_belongs_to_targets():
    assert {path.name for path in CORPUS.iterdir()} <= set(TARGETS)
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 200_000


def test_damaged_bytes_are_refused_in_documented_words(target):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @_quick
    @given(st.one_of(damaged(target.seeds), reworded(target.seeds), st.binary(max_size=80)))
    def refused(data):
        target(data)

    refused()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < _ROOM >> 10
