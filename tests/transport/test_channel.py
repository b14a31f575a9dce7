"""Channels between ranks: what arrives, in which order, and who is turned away at the door."""

import logging
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zmq

from dsgd.errors import WorkerLost
from dsgd.transport import Channel, FitKeys, Security, frames
from dsgd.transport.endpoint import configure
from dsgd.transport.frames import GATHER, LIFE, REDUCE, Header

FLOAT = np.dtype(np.float32)


@pytest.fixture(scope="module")
def keys():
    return FitKeys.generate()


@pytest.fixture(params=[True, False], ids=["encrypted", "plain"])
def security(request, keys):
    return Security(keys, request.param)


@pytest.fixture
def opened():
    """Open channels that the test need not close."""
    channels = []

    def open_channel(rank, security, deadline=20.0, **options):
        channels.append(Channel(rank, security, **{"host": "127.0.0.1"} | options, deadline=deadline))
        return channels[-1]

    yield open_channel
    for channel in channels:
        channel.close()


@pytest.fixture
def pair(opened, security):
    return connected(opened(0, security), opened(1, security))


def connected(first: Channel, second: Channel) -> tuple[Channel, Channel]:
    first.connect({second.rank: second.address})
    second.connect({first.rank: first.address})
    return first, second


def assert_still_works(pair):
    first, second = pair
    first.send(1, REDUCE, np.arange(5, dtype=FLOAT))
    assert second.receive(0, REDUCE, FLOAT, 5).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("dtype", frames.DTYPES, ids=str)
@pytest.mark.parametrize("length", [0, 1, 1000, 20_000])
def test_arrays_arrive_as_they_were_sent(pair, dtype, length):
    sent = np.arange(length).astype(dtype)
    pair[0].send(1, GATHER, sent)
    received = pair[1].receive(0, GATHER, dtype, length)
    pair[0].flush()
    assert received.dtype == dtype
    np.testing.assert_array_equal(received, sent)


def test_messages_of_one_sender_keep_their_order_while_another_is_waited_for(opened, security):
    first, second = connected(opened(0, security), opened(1, security))
    third = opened(2, security)
    first.connect({2: third.address})
    third.connect({0: first.address})
    for number in range(20):
        second.send(0, REDUCE, np.full(3000, number, FLOAT))
    second.flush()
    third.send(0, REDUCE, np.array([99], FLOAT))
    assert first.receive(2, REDUCE, FLOAT, 1).tolist() == [99]
    assert [int(first.receive(1, REDUCE, FLOAT, 3000)[0]) for _ in range(20)] == list(range(20))


def test_a_silent_peer_is_named_at_the_deadline(opened, security):
    first, _ = connected(opened(0, security, deadline=0.3), opened(1, security))
    with pytest.raises(WorkerLost, match=r"rank 1 was silent for 0.3 seconds while rank 0 waited for it in all-reduce"):
        first.receive(1, REDUCE, FLOAT, 1)


def test_signs_of_life_of_ranks_that_wait_for_each_other_come_to_an_end(opened, security):
    """Each gives a sign and then waits for the one before it: what goes round the circle must not keep it waiting."""
    ring = [opened(rank, security, deadline=1.0) for rank in range(3)]
    for channel in ring:
        channel.connect({other.rank: other.address for other in ring if other is not channel})
    for channel in ring:
        channel.give_sign()
    with ThreadPoolExecutor(3) as pool:
        waits = [pool.submit(ring[rank].receive, (rank - 1) % 3, REDUCE, FLOAT, 1) for rank in range(3)]
        for wait in waits:
            with pytest.raises(WorkerLost, match="was silent for 1 seconds"):
                wait.result(60)


def test_a_sign_of_life_comes_by_way_of_the_rank_that_is_waited_for(opened, security):
    """Rank 0 waits for rank 1, which waits for rank 2, which is at work and not connected to rank 0."""
    first, second = connected(opened(0, security, deadline=1.0), opened(1, security, deadline=20.0))
    third = opened(2, security)
    second.connect({2: third.address})
    third.connect({1: second.address})
    told = []
    first.on_sign = lambda: told.append(1)

    def pass_on():
        second.send(0, REDUCE, second.receive(2, REDUCE, FLOAT, 1))

    def work():
        for _ in range(30):
            time.sleep(0.1)
            third.give_sign()
        third.send(1, REDUCE, np.array([5], FLOAT))

    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(pass_on), pool.submit(work)]
        assert first.receive(1, REDUCE, FLOAT, 1).tolist() == [5]
        for other in others:
            other.result(60)
    assert told


def test_a_closed_peer_is_noticed_before_the_deadline_and_its_last_message_is_not_lost(pair):
    first, second = pair
    second.send(0, REDUCE, np.ones(2000, FLOAT))
    second.flush()
    second.close()
    assert first.receive(1, REDUCE, FLOAT, 2000).sum() == 2000
    with pytest.raises(WorkerLost, match="rank 1 closed its connection or died"):
        first.receive(1, REDUCE, FLOAT, 1)
    with pytest.raises(WorkerLost, match="rank 1 closed its connection or died"):
        first.send(1, REDUCE, np.ones(1, FLOAT))


def test_a_peer_that_gives_up_says_why(pair):
    pair[1].abort("rank 7 fell over")
    with pytest.raises(WorkerLost, match="rank 1 gave up: rank 7 fell over"):
        pair[0].receive(1, REDUCE, FLOAT, 1)


@pytest.mark.parametrize(
    ("kind", "payload"),
    [(GATHER, np.zeros(5, FLOAT)), (REDUCE, np.zeros(5, np.int64)), (REDUCE, np.zeros(4, FLOAT))],
    ids=["kind", "dtype", "length"],
)
def test_a_peer_that_does_something_else_is_out_of_step(pair, kind, payload):
    pair[0].send(1, kind, payload)
    with pytest.raises(WorkerLost, match="out of step: rank 1 expected 5 values of float32 in all-reduce, rank 0 sent"):
        pair[1].receive(0, REDUCE, FLOAT, 5)


def test_keys_of_another_fit_are_refused(opened, security, keys):
    stranger = opened(1, Security(FitKeys.generate(), security.encrypt), deadline=5.0)
    with pytest.raises(WorkerLost, match="refused the connection"):
        stranger.connect({0: opened(0, security).address})


def test_knowing_the_public_key_of_the_listener_is_not_enough(opened, keys):
    """The client's own key has to be the fit's, too."""
    other = FitKeys.generate()
    stranger = opened(1, Security(FitKeys(keys.fit, keys.server, other.client, keys.token)), deadline=5.0)
    with pytest.raises(WorkerLost, match="refused the connection"):
        stranger.connect({0: opened(0, Security(keys)).address})


@pytest.mark.parametrize("encrypt", [True, False])
def test_ranks_that_disagree_on_encryption_do_not_connect(opened, keys, encrypt):
    listener = opened(0, Security(keys, encrypt))
    with pytest.raises(WorkerLost, match=r"refused the connection|did not answer"):
        opened(1, Security(keys, not encrypt), deadline=2.0).connect({0: listener.address})


def test_garbage_on_the_port_does_no_harm(pair):
    host, _, port = pair[1].address.removeprefix("tcp://").rpartition(":")
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" + bytes(8) + b"\x7f" + bytes(100), bytes(range(256)) * 50):
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(garbage)
    assert_still_works(pair)


@pytest.fixture
def intruder(pair, security):
    """A socket with the fit's keys that talks to rank 1 in its own words."""
    context = zmq.Context()
    sender = context.socket(zmq.PUSH)
    configure(sender)
    security.secure_sender(sender)
    sender.connect(pair[1].address)
    yield sender
    context.destroy(linger=0)


def test_a_frame_that_is_too_long_ends_its_connection_and_no_other(pair, intruder):
    monitor = intruder.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    intruder.send(bytes(2 * frames.CHUNK))
    assert monitor.poll(10_000), "the connection was not ended"
    intruder.disable_monitor()
    monitor.close(linger=0)
    assert_still_works(pair)


def frame(keys, *, payload=b"", **changes) -> bytes:
    fields = {"kind": REDUCE, "code": 1, "source": 0, "attempt": 0, "fit": keys.fit, "sequence": 0, "length": 20}
    return Header(**{**fields, **changes}).pack() + payload


def test_messages_that_do_not_belong_are_dropped_and_logged(pair, intruder, keys, caplog):
    wrong = [
        b"",
        b"short",
        b"\0" * 100,
        frame(keys, payload=bytes(20), kind=200),
        frame(keys, payload=bytes(20), code=200),
        frame(keys, payload=bytes(20), fit=keys.fit ^ 1),
        frame(keys, payload=bytes(20), attempt=1),
        frame(keys, payload=bytes(20), sequence=5),
        frame(keys, payload=bytes(20), source=9),
        frame(keys, payload=bytes(19)),
        frame(keys, length=1 << 60),
        frame(keys, payload=bytes(20), kind=LIFE),
    ]
    with caplog.at_level(logging.WARNING, "dsgd.transport"):
        for data in wrong:
            intruder.send(data)
        intruder.send_multipart([frame(keys, length=10_000), bytes(9_999)])
        intruder.send_multipart([frame(keys, length=10_000), bytes(10_000), b"more"])
        # Rank 1 looks at its mail only when it waits for something: the true message comes after the false ones.
        late = threading.Thread(target=lambda: (time.sleep(0.3), pair[0].send(1, REDUCE, np.arange(5, dtype=FLOAT))))
        late.start()
        assert pair[1].receive(0, REDUCE, FLOAT, 5).tolist() == [0, 1, 2, 3, 4]
        late.join()
    assert sum("dropped a message" in record.message for record in caplog.records) == len(wrong) + 2


def test_ports_come_from_the_range(opened, security):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    channel = opened(0, security, port_range=(port, min(port + 50, 65535)))
    assert port <= int(channel.address.rpartition(":")[2]) <= port + 50


def test_a_network_interface_stands_for_its_address(opened, security):
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    channel = opened(0, security, host=loopback)
    assert channel.address.startswith("tcp://127.0.0.1:")
    assert_still_works(connected(channel, opened(1, security, host=loopback)))


def test_closing_leaves_no_thread_and_may_be_repeated(security):
    before = threading.active_count()
    channel = Channel(0, security, host="127.0.0.1")
    channel.close()
    channel.close()
    assert threading.active_count() == before


def test_secrets_do_not_show(keys):
    shown = repr(Security(keys)) + str(keys)
    for secret in (keys.token, keys.server[1].decode(), keys.client[1].decode()):
        assert secret not in shown
