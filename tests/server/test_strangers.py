"""Who is turned away from a parameter server's port: its shard and the fit beside go on unharmed."""

import contextlib
import logging
import socket
import struct

import numpy as np
import pytest
import zmq

from dsgd.server import wire
from dsgd.server.wire import Message
from dsgd.transport import FitKeys, Security

from .hosts import SIZE, WAIT, ask, step, wait_for


@pytest.fixture(params=[True, False], ids=["encrypted", "plain"])
def security(request, keys):
    return Security(keys, request.param)


def assert_unharmed(server, client, number: int):
    before = ask(client, step(client, 0, wanted=number)).version
    assert ask(client, step(client, number, number, number + 1)).version == before + 1
    assert number in server.applied()


@pytest.fixture
def running(new_crew):
    crew = new_crew()
    server, client = crew.shard(), crew.client()
    client.join()
    assert_unharmed(server, client, 0)
    return crew, server, client


def test_garbage_on_the_port_does_no_harm(running):
    _, server, client = running
    host, _, port = server.address.removeprefix("tcp://").rpartition(":")
    greeting = b"\xff" + struct.pack(">Q", 1) + b"\x7f\x03\x00NULL" + bytes(48)
    for garbage in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" + bytes(8) + b"\x7f" + bytes(100),
        bytes(range(256)) * 50,
        greeting,
    ):
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(garbage)
    assert_unharmed(server, client, 1)


@pytest.mark.parametrize("stranger", ["no keys", "keys of another fit", "half of the keys", "the other way"])
def test_strangers_are_kept_out(running, keys, security, stranger):
    """With ``encrypt=False``, too; and whoever knows the number of the fit."""
    _, server, client = running
    other = FitKeys.generate()
    context = zmq.Context()
    sender = context.socket(zmq.DEALER)
    sender.set(zmq.RECONNECT_IVL, -1)
    if stranger == "keys of another fit":
        Security(other, security.encrypt).secure_sender(sender)
    elif stranger == "half of the keys":
        Security(FitKeys(keys.fit, keys.server, other.client, other.token), security.encrypt).secure_sender(sender)
    elif stranger == "the other way":
        Security(keys, not security.encrypt).secure_sender(sender)
    monitor = sender.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    try:
        sender.connect(server.address)
        with contextlib.suppress(zmq.Again):  # when the connection has been ended already
            for kind in (wire.OFFER, wire.JOIN, wire.START):
                sender.send_multipart(wire.encode(Message(kind, 1, 0), keys.fit), zmq.NOBLOCK)
        assert monitor.poll(int(1000 * WAIT)), "the connection was not ended"
    finally:
        sender.disable_monitor()
        monitor.close(linger=0)
        context.destroy(linger=0)
    assert_unharmed(server, client, 1)
    # Snapshots go to all who have been heard.
    assert [server.ask(lambda host: host.keep()[0].worker) for _ in range(2)] == [0, 0]


@pytest.fixture
def intruder(running, security):
    """Make sockets that have the fit's keys, and talk to the shard in their own words."""
    context = zmq.Context()

    def make() -> zmq.Socket:
        sender = context.socket(zmq.DEALER)
        sender.set(zmq.SNDTIMEO, int(1000 * WAIT))
        security.secure_sender(sender)
        sender.connect(running[1].address)
        return sender

    yield make
    context.destroy(linger=0)


def test_a_frame_that_is_too_long_ends_its_connection_and_no_other(running, intruder):
    sender = intruder()
    sender.set(zmq.RECONNECT_IVL, -1)
    monitor = sender.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    sender.send(bytes(wire.CHUNK + 65))
    assert monitor.poll(int(1000 * WAIT)), "the connection was not ended"
    sender.disable_monitor()
    monitor.close(linger=0)
    assert_unharmed(running[1], running[2], 1)


def bad_messages(fit: int) -> dict[str, list[bytes]]:
    """Frames that an intruder with the keys may send."""
    listed = wire.Message(wire.STEP, 1, 0, flags=3, arrays=[np.array([1], np.int32), np.ones(1)])

    def frames(message=listed, fit=fit, **changes) -> list[bytes]:
        return [bytes(frame) for frame in wire.encode(message._replace(**changes), fit)]

    large = frames(arrays=[np.zeros(wire.INLINE, np.int32), np.ones(wire.INLINE)])
    return {
        "nothing": [b""],
        "noise": [bytes(range(200))],
        "another protocol": [frames()[0][:4] + b"\2" + frames()[0][5:]],
        "another fit": frames(fit=fit ^ 1),
        "a frame that is cut": [frames()[0][:-1]],
        "more frames than announced": [*large, b"more"],
        "fewer frames than announced": large[:-1],
        "a kind that is none": [frames()[0][:5] + b"\xf0" + frames()[0][6:]],
        "a kind for others": frames(kind=wire.LEASE),
        "fewer arrays than flags": frames(arrays=listed.arrays[:1]),
        "a feature out of range": frames(arrays=[np.array([SIZE + 1], np.int32), np.ones(1)]),
        "a feature below": frames(arrays=[np.array([-1], np.int32), np.ones(1)]),
        "features that do not ascend": frames(arrays=[np.array([2, 2], np.int32), np.ones(2)]),
        "fewer values than features": frames(arrays=[np.array([2, 3], np.int32), np.ones(1)]),
        "values of another type": frames(arrays=[np.array([2], np.int32), np.ones(1, np.float32)]),
        "all features": frames(flags=1, arrays=[np.ones(SIZE + 1)]),
        "a list that is pulled out of range": frames(flags=16, arrays=[np.array([SIZE + 1], np.int32)]),
        "rows below zero": frames(rows=-1),
        "a worker that is none": frames(worker=7),
        "a start of nothing": frames(kind=wire.START, arrays=[]),
    }


def test_messages_that_do_not_belong_are_dropped_and_logged_once_a_sender(running, intruder, keys, caplog):
    _, server, client = running
    before, bad = server.weights(), bad_messages(keys.fit)
    with caplog.at_level(logging.WARNING, "dsgd.server"):
        for name, frames in bad.items():
            sender = intruder()
            for _ in range(3):
                sender.send_multipart(frames)
            # What is said in between is heard.
            sender.send_multipart(wire.encode(Message(wire.STATE, 5), keys.fit))
            assert sender.poll(int(1000 * WAIT)), name
            assert wire.decode(sender.recv_multipart(), keys.fit).kind == wire.STATE
            assert server.weights() == before, name
    told = [record.message for record in caplog.records if "dropped a message" in record.message]
    assert len(told) == len(bad)
    assert all(server.address in text for text in told)
    assert_unharmed(server, client, 1)


@pytest.mark.parametrize("data", [[b""], [b"x" * 100]], ids=["nothing", "noise"])
def test_a_worker_drops_what_is_no_message(new_crew, caplog, data):
    crew = new_crew()
    server, client = crew.shard(mute=True), crew.client()
    client.request(0, step(client, 0, 1, 1))

    def misbehave(host) -> list[Message]:
        sender = server.service._senders[0, 0][1]
        server.service._socket.send_multipart([sender, *data])
        return [Message(wire.NOTED, 0, 0)]

    wait_for(lambda: server.service._senders)
    with caplog.at_level(logging.WARNING, "dsgd.server"):
        server.ask(misbehave, sends=True)
        assert client.answer(0).kind == wire.NOTED
    assert "worker 0 dropped a message of parameter shard 0 at tcp://" in caplog.text
