"""Shards and workers of one machine meet in a directory; those of others, and strangers, do not."""

import os
import tempfile
import time

import pytest
import zmq

from dsgd.server import wire
from dsgd.server.address import address_on, announcement, near_address, place_of
from dsgd.server.dealer import Dealer
from dsgd.server.service import Service
from dsgd.server.wire import Message
from dsgd.transport import FitKeys, Security

from .hosts import WAIT, wait_for


@pytest.fixture
def directory():
    """Of a short path, however long those of the tests are."""
    with tempfile.TemporaryDirectory(prefix="dsgd-") as made:
        yield made


@pytest.fixture(params=[True, False], ids=["encrypted", "plain"])
def service(request, keys, directory):
    opened = Service(Security(keys, request.param), "127.0.0.1", directory=directory)
    yield opened
    opened.close(linger=0)


def board(service, machine="m"):
    return {place_of(0): announcement(service.address, service.near, machine, 3)}


def test_who_is_on_the_same_machine_is_told_the_nearer_way(service):
    assert service.near.startswith("ipc:///")
    assert address_on(board(service).get, 0, "m") == (service.near, 3)
    assert address_on(board(service).get, 0, "other") == (service.address, 3)
    assert address_on(board(service).get, 1, "m") is None
    os.unlink(service.near.removeprefix("ipc://"))
    assert address_on(board(service).get, 0, "m") == (service.address, 3)


def test_a_path_that_is_too_long_for_a_socket_is_none(tmp_path, keys):
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(0o700, parents=True)
    assert near_address(str(deep), "s") is None
    service = Service(Security(keys), "127.0.0.1", directory=str(deep))
    try:
        assert service.near is None
        assert address_on(board(service).get, 0, "m") == (service.address, 3)
    finally:
        service.close(linger=0)


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o755])
def test_a_directory_that_others_may_enter_is_none(keys, directory, mode):
    os.chmod(directory, mode)
    service = Service(Security(keys), "127.0.0.1", directory=directory)
    try:
        assert service.near is None
        assert address_on(board(service).get, 0, "m") == (service.address, 3)
    finally:
        service.close(linger=0)


@pytest.mark.parametrize("encrypt", [True, False])
def test_where_there_can_be_no_sockets_there_is_the_network(keys, directory, monkeypatch, encrypt):
    monkeypatch.setattr("dsgd.server.service.near_address", lambda place, name: f"ipc://{place}/missing/{name}")
    service = Service(Security(keys, encrypt), "127.0.0.1", directory=directory)
    context, heard = zmq.Context(), []
    dealer = Dealer(context, Security(keys, encrypt), service.address)
    try:
        assert service.near is None
        dealer.send(Message(wire.BEAT, 5, 2))
        service.serve(lambda message: heard.append(message.worker) or [], until(heard))
    finally:
        dealer.close()
        context.destroy(linger=0)
        service.close(linger=0)
    assert heard == [5]


@pytest.mark.parametrize("way", ["near", "address"])
def test_both_ways_are_heard(service, keys, way):
    heard, context = [], zmq.Context()
    # The last thing that was set is what the network's address was bound with.
    security = Security(keys, service._socket.get(zmq.MECHANISM) == zmq.CURVE)
    dealer = Dealer(context, security, getattr(service, way))
    try:
        dealer.send(Message(wire.BEAT, 5, 2))
        service.serve(lambda message: heard.append((message.worker, message.attempt)) or [], until(heard))
    finally:
        dealer.close()
        context.destroy(linger=0)
    assert heard == [(5, 2)]


def until(heard):
    end = time.monotonic() + WAIT
    return lambda: None if heard or time.monotonic() > end else []


@pytest.mark.parametrize("stranger", ["token of another fit", "no token"])
def test_strangers_are_kept_out_of_the_directory_too(service, stranger):
    context = zmq.Context()
    try:
        if stranger == "no token":
            sender = context.socket(zmq.DEALER)
            monitor = sender.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_DISCONNECTED)
            sender.connect(service.near)
            sender.send(b"hello")
            assert monitor.poll(1000 * 10)
            monitor.close(linger=0)
            sender.disable_monitor()
            sender.close(linger=0)
        else:
            dealer = Dealer(context, Security(FitKeys.generate()), service.near)
            dealer.send(Message(wire.BEAT, 0, 0))
            wait_for(dealer.lost)
            assert "refused" in dealer.lost()
            dealer.close()
        assert service._take() is None
    finally:
        context.destroy(linger=0)
