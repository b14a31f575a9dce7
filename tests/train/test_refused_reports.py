"""A peer that has the keys and says nonsense to the lead: it is refused and logged once, and the fit ends as it would have."""

import json
import logging

import numpy as np
import pytest
import zmq

from dsgd import Async, SGDClassifier
from dsgd.data.spec import Categorical, FeatureSpec
from dsgd.server import wire
from dsgd.server.service import Service
from dsgd.server.wire import BadMessage, Message
from dsgd.train.asynchronous.findings import pack_prepared
from dsgd.train.asynchronous.ledger import PREPARE, TRAIN, VALIDATE, Item
from dsgd.train.asynchronous.reports import name_of, report_of
from dsgd.transport import FitKeys, Security

LAYOUT = FeatureSpec(("age",), (Categorical("city", bits=15),)).layout
LOSS = json.dumps({"loss": 0.5, "rows": 3}).encode()


def bytes_of(*parts: bytes) -> list[np.ndarray]:
    return [np.frombuffer(part, np.uint8) for part in parts]


BAD = {
    "nothing": [],
    "one array": bytes_of(LOSS),
    "three arrays": bytes_of(LOSS, name_of(Item(TRAIN, 0, 0)), b""),
    "no name": bytes_of(LOSS, b""),
    "a name of two": bytes_of(LOSS, b'["train", 0]'),
    "a kind that is none": bytes_of(LOSS, b'["rest", 0, 0]'),
    "a kind that is a list": bytes_of(LOSS, b'[["train"], 0, 0]'),
    "an epoch that is none": bytes_of(LOSS, b'["train", -1, 0]'),
    "a lot that is none": bytes_of(LOSS, b'["train", 0, "0"]'),
    "lists without end": bytes_of(LOSS, b"[" * 5000),
    "no report": bytes_of(b"", name_of(Item(TRAIN, 0, 0))),
    "a report without rows": bytes_of(b'{"loss": 1}', name_of(Item(TRAIN, 0, 0))),
    "rows below zero": bytes_of(b'{"loss": 1, "rows": -1}', name_of(Item(TRAIN, 0, 0))),
    "rows instead of a weight": bytes_of(LOSS, name_of(Item(VALIDATE, 0, 0))),
    "a measure that is none": bytes_of(LOSS, name_of(Item("measure", 0, 0))),
    "findings that are none": bytes_of(LOSS, name_of(Item(PREPARE, 0, 0))),
}


@pytest.mark.parametrize("name", BAD)
def test_a_report_that_cannot_be_read_is_refused(name):
    with pytest.raises(BadMessage):
        report_of(BAD[name], LAYOUT)


def test_a_report_as_workers_make_it_is_taken():
    assert report_of(bytes_of(LOSS, name_of(Item(TRAIN, 1, 2))), LAYOUT) == (Item(TRAIN, 1, 2), LOSS)


@pytest.mark.parametrize("codes", [[-1], [0], [1 << 20], [3, LAYOUT.size]], ids=str)
def test_codes_of_no_weight_never_reach_the_kernels(codes):
    """They would be written to wherever they point."""
    from dsgd.data.numbering import Numbering

    from ..fuzz.targets import _statistics

    found = Numbering(LAYOUT)
    found._met, found._count = np.array(codes, np.int32), len(codes)
    with pytest.raises(BadMessage, match="its codes are from"):
        report_of(bytes_of(pack_prepared(_statistics(), found), name_of(Item(PREPARE, 0, 0))), LAYOUT)


@pytest.fixture
def met(monkeypatch):
    """The keys of the fits of this process, and the addresses of their servers."""
    keys, addresses, generate, serve = [], [], FitKeys.generate.__func__, Service.serve

    def kept(cls):
        keys.append(generate(cls))
        return keys[-1]

    def served(self, *arguments):
        addresses.append(self.address)
        return serve(self, *arguments)

    monkeypatch.setattr(FitKeys, "generate", classmethod(kept))
    monkeypatch.setattr(Service, "serve", served)
    return keys, addresses


def test_a_fit_goes_on_whatever_a_peer_with_keys_says_to_its_lead(met, caplog):
    keys, addresses = met
    generator = np.random.default_rng(0)
    X = generator.normal(size=(400, 3))
    y = (X[:, 0] - X[:, 1] > 0).astype(int)
    model = SGDClassifier(
        mode=Async(staleness=0, shards=1), n_workers=1, max_iter=6, tol=None, optimizer="sgd", eta0=0.1,
        learning_rate="constant", batch_size=50, random_state=0,
    )  # fmt: skip
    expected = model.fit(X, y).coef_
    context, told = zmq.Context(), []
    keys.clear()
    addresses.clear()

    def intrude(record):
        """After every epoch, as a worker whose number is another's, and as one that there is not."""
        if told:
            return
        sender = context.socket(zmq.DEALER)
        Security(keys[0]).secure_sender(sender)
        sender.set(zmq.SNDTIMEO, 20_000)
        sender.connect(addresses[0])
        for arrays in BAD.values():
            sender.send_multipart(wire.encode(Message(wire.DONE, 0, 0, arrays=arrays), keys[0].fit))
        for kind in (wire.ASK, wire.DONE, wire.STEP):
            sender.send_multipart(wire.encode(Message(kind, 7, 0), keys[0].fit))
        sender.send_multipart(wire.encode(Message(wire.STEP, 0, 0, clock=2**63 - 1), keys[0].fit))
        sender.send_multipart(wire.encode(Message(wire.STATE, 5, 0, step=2**40, flags=1), keys[0].fit))
        told.append(sender)

    try:
        with caplog.at_level(logging.WARNING, "dsgd.server"):
            model.set_params(verbose=intrude)
            found = model.fit(X, y)
    finally:
        context.destroy(linger=0)
    assert told
    assert found.n_iter_ == 6
    np.testing.assert_array_equal(found.coef_, expected)
    assert sum("dropped a message" in record.message for record in caplog.records) == 1
