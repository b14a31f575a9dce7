"""Every parser of bytes that come from elsewhere, with what it may raise and what it is usually given.

A target takes bytes, and returns or raises one of its documented errors; anything else is a finding. The same targets are run by
hypothesis (:mod:`tests.fuzz.test_targets`) and, where it is installed, by atheris (``python -m tests.fuzz``).
"""

import io
import json
import struct
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dsgd.collectives import SingleProcess
from dsgd.collectives.rendezvous import _Card
from dsgd.data.arrays import pack, unpack
from dsgd.data.label_statistics import LabelStatistics
from dsgd.data.numbering import Numbering, merge_numberings
from dsgd.data.spec import Categorical, FeatureSpec, Interaction, Vector
from dsgd.data.statistics import Statistics, merge
from dsgd.errors import CheckpointError, ConfigError, DataError, WorkerLost
from dsgd.fitted import load
from dsgd.fitted.files import sharded_header
from dsgd.fitted.model import LinearModel
from dsgd.fitted.shards.saving import Saving
from dsgd.fitted.shards.stored import StoredModel
from dsgd.fitted.weights import decode, encode
from dsgd.server import wire
from dsgd.server.address import address_on, announcement
from dsgd.train.asynchronous.findings import Measured, pack_prepared, unpack_prepared
from dsgd.train.asynchronous.ledger import TRAIN, Item
from dsgd.train.asynchronous.reports import name_of, report_of
from dsgd.train.asynchronous.start import pack_start, unpack_start
from dsgd.train.checkpoints.folder import Folder
from dsgd.train.checkpoints.keeper import Keeper
from dsgd.train.checkpoints.kept import Kept, Orders
from dsgd.train.checkpoints.settings import Checkpoint
from dsgd.train.local import frames as local_frames
from dsgd.train.rank import Failure
from dsgd.train.task import RankResult
from dsgd.transport import frames, signs
from pipelines.jobs import job_file, roles

FIT = 77
SPEC = FeatureSpec(
    ("age",),
    (Categorical("city", bits=15), Categorical("job", values=("cook", None, 3))),
    (Vector("v", 2),),
    (Interaction(("city", "job"), bits=3),),
    "mean",
    (1.0, 2.0, 3.0),
)
NARROW = FeatureSpec(("age",), (Categorical("city", bits=15),))
_LENGTH = struct.Struct("<H")


@dataclass(frozen=True)
class Target:
    """A parser.

    Attributes
    ----------
    name : str
    run : callable
        Takes bytes.
    raises : tuple of type
        The errors that it documents.
    seeds : list of bytes
        What it is usually given.
    """

    name: str
    run: Callable[[bytes], object]
    raises: tuple[type[Exception], ...]
    seeds: list[bytes] = field(repr=False)

    def __call__(self, data: bytes) -> None:
        try:
            self.run(data)
        except self.raises:
            return


def joined(parts: Sequence[bytes]) -> bytes:
    """Several byte strings as one, for parsers that take several frames."""
    return b"".join(_LENGTH.pack(len(part)) + part for part in map(bytes, parts))


def parted(data: bytes) -> list[bytes]:
    """The inverse, of any bytes."""
    parts, start = [], 0
    while start + _LENGTH.size <= len(data) and len(parts) < 12:
        (length,) = _LENGTH.unpack_from(data, start)
        parts.append(data[start + _LENGTH.size : start + _LENGTH.size + length])
        start += _LENGTH.size + length
    return parts


def _message(message: wire.Message) -> bytes:
    return joined(wire.encode(message, FIT))


def _statistics() -> Statistics:
    label = LabelStatistics("int", np.array([0, 1]), np.array([2, 3]), np.array([2.0, 3.0]), 5.0, 0.6, 1.2, 0.0, 1.0)
    one = np.ones(1)
    return Statistics(5, 5.0, 5 * one, one, one, np.zeros(0), np.zeros(0), 9.0, label)


def _numbering() -> Numbering:
    numbering = Numbering(NARROW.layout)
    numbering.apply(np.array([7, 900, 7], np.int32))
    return numbering


def _frame(data: bytes) -> None:
    header = frames.parse(data)
    payload = memoryview(data)[frames.HEADER_BYTES :]
    if header.length == len(payload):
        np.frombuffer(payload, frames.DTYPES[header.code])
        if header.kind == frames.LIFE:
            signs.Signs(0).take(header.source, signs.read(payload))


def _merged(data: bytes) -> None:
    found = Statistics.from_bytes(data)
    with np.errstate(all="ignore"):  # numbers that were damaged may be of any size
        merge(found, _statistics()).imputed()


def _findings(data: bytes) -> None:
    _, codes = unpack_prepared(data, NARROW.layout)
    merge_numberings(NARROW.layout, [codes])


def _start(data: bytes) -> None:
    prepared, measures, _ = unpack_start(data)
    unpack_prepared(prepared, NARROW.layout)
    Measured.from_bytes(measures)


def _report(data: bytes) -> None:
    report_of([np.frombuffer(part, np.uint8) for part in parted(data)], NARROW.layout)


def _process(data: bytes) -> None:
    stream = io.BytesIO(data)
    while (frame := local_frames.read(stream)) is not None:
        local_frames.unpack(frame[1])


def _model_of(header: bytes, weights: bytes) -> LinearModel:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model.json").write_bytes(header)
        (Path(folder) / "weights.safetensors").write_bytes(weights)
        model = load(folder)
        repr(model)
        return model


def _saved() -> tuple[bytes, bytes]:
    coef = np.zeros((1, SPEC.layout.size))
    coef[0, ::1000] = 0.5
    history = ({"epoch": 1, "objective": 0.5, "seconds": 0.1, "rows": 10},)
    model = LinearModel(coef, np.ones(1), np.array(["no", "yes"]), SPEC, "log_loss", {}, "single", 1, 12, history, True)
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder + "/model")
        place = Path(folder) / "model"
        return (place / "model.json").read_bytes(), (place / "weights.safetensors").read_bytes()


def _sharded_of(header: bytes, name: str, shard: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model.json").write_bytes(header)
        (Path(folder) / name).write_bytes(shard)
        load(folder)


def _sharded(sums: bool) -> tuple[bytes, str, bytes]:
    """A model in one shard: its header, and the name and the bytes of the file; with checksums, or as before there were any."""
    coef = np.zeros((1, NARROW.layout.size))
    coef[0, ::1000] = 0.5
    rest = {"intercept": np.ones(1), "classes": np.array(["no", "yes"]), "spec": NARROW, "outputs": "single"}
    rest |= {"loss": "log_loss", "loss_parameters": {}, "epochs": 1, "steps": 12, "history": (), "converged": True}
    with tempfile.TemporaryDirectory() as folder, Saving(folder + "/model", False) as saving:
        kept = saving.keep.open(0, 1).write([(0, coef.shape[1])], coef, None)
        if not sums:
            del kept["sha256"]
        model = StoredModel.at(saving.place, saving.shards([kept], coef.shape, "float64"), **rest)
        saving.finish(sharded_header(model))
        (file,) = Path(folder, "model").glob("*.safetensors")
        return Path(folder, "model", "model.json").read_bytes(), file.name, file.read_bytes()


def _checkpoint(header: bytes, part: bytes, owner: bytes) -> None:
    """What is damaged is left for nothing at all: the fit begins anew."""
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "checkpoint-000000001"
        own.mkdir()
        (Path(folder) / "fit.json").write_bytes(owner)
        (own / "header.json").write_bytes(header)
        (own / "part-00000-00000.safetensors").write_bytes(part)
        keeper = _keeper(folder)
        keeper.hold(None, 1)
        keeper.take_up("steps")


def _keeper(folder: str) -> Keeper:
    return Keeper(Orders(Checkpoint(folder), "token"), [SingleProcess()], 0, ((0, 3),), writes=True)


def _kept() -> tuple[bytes, bytes, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        Folder(folder).claim({"identity": {}, "token": "token"})
        keeper = _keeper(folder)
        progress = {"history": [], "best_value": np.inf, "since_best": 0, "seconds": 0.5}
        keeper.save("steps", 7, Kept({"params": np.arange(4.0)}, meta={"step": 7}, progress=progress))
        own = Path(folder) / "checkpoint-000000001"
        header, part = own / "header.json", own / "part-00000-00000.safetensors"
        return header.read_bytes(), part.read_bytes(), (Path(folder) / "fit.json").read_bytes()


def _job(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "job.json").write_bytes(data)
        roles(folder)


def _card(data: bytes) -> None:
    _Card.read(data, 1)


def targets() -> list[Target]:
    """All of them but Spark's."""
    header, weights = _saved()
    card = {"address": "tcp://10.0.0.1:40", "machine": "m/1", "name": "a1", "settings": ["ring", 8, True, 7, 0]}
    counted = wire.Message(wire.STEP, 1, clock=3, flags=3, arrays=[np.array([2], np.int32), np.ones(1)])
    large = wire.Message(wire.STEP, 1, flags=3, arrays=[np.arange(4100, dtype=np.int32), np.ones(50)])
    statistics, measured = _statistics(), Measured(5, 10.0, 2, 0.5, [5.0, 3.0, 5.0, 3.0, 3.0], True, [1, 2])
    prepared = pack_prepared(statistics, _numbering())
    done = json.dumps({"loss": 0.5, "rows": 10}).encode()
    dense = encode(np.ones((1, 6)), np.zeros(1))["weights.safetensors"]
    kept, part, owner = _kept()
    indexed, named, shard = _sharded(sums=True)
    unsummed, older, old_shard = _sharded(sums=False)
    return [
        Target("frames", _frame, (ValueError,), [
            frames.pack(frames.REDUCE, 1, 0, 0, FIT, 0, 8) + bytes(8), frames.pack(frames.LIFE, 3, 0, 0, FIT, 0, 16) + bytes(16),
        ]),
        Target("wire", lambda data: wire.decode(parted(data), FIT), (wire.BadMessage,), [_message(counted), _message(large)]),
        Target("arrays", unpack, (DataError,), [pack({"x": np.arange(3), "y": np.ones((2, 2))}, {"rows": 3}), pack({}, {})]),
        Target("statistics", _merged, (DataError,), [statistics.to_bytes()]),
        Target("findings", _findings, (DataError,), [prepared, pack_prepared(statistics, None)]),
        Target("measured", Measured.from_bytes, (DataError,), [measured.to_bytes()]),
        Target("start", _start, (DataError,), [pack_start(prepared, measured.to_bytes())]),
        Target("report", _report, (wire.BadMessage,), [joined([done, name_of(Item(TRAIN, 1, 2))]),
            joined([prepared, name_of(Item("prepare", 0, 1))]), joined([measured.to_bytes(), name_of(Item("measure", 0, 1))]),
        ]),
        Target("result", RankResult.from_bytes, (DataError,), [RankResult({"coef": np.ones((1, 2))}, {"rows": 3}).to_bytes()]),
        Target("failure", lambda data: Failure.from_json(data).exception(), (WorkerLost,), [
            Failure(1, "DataError", "column 'x' is missing").to_json().encode(),
            Failure(0, "other", "KeyError: 1", "Traceback").to_json().encode(),
        ]),
        Target("process", _process, (WorkerLost,), [b"R\x0b" + bytes(7) + local_frames.pack([b"abc"])]),
        Target("card", _card, (WorkerLost,), [json.dumps(card).encode()]),
        Target("address", lambda data: address_on(lambda name: data, 0, "m"), (WorkerLost,), [
            announcement("tcp://10.0.0.7:4000", "ipc:///tmp/x", "m", 2), announcement("tcp://10.0.0.7:4000", None, "m", 0),
        ]),
        Target("model", lambda data: _model_of(data, weights), (CheckpointError,), [header]),
        Target("weights", lambda data: _model_of(header, data), (CheckpointError,), [weights]),
        Target("dense-weights", lambda data: decode({"a": data}, (1, 6), "float64", "here"), (CheckpointError,), [dense]),
        Target("sharded-model", lambda data: _sharded_of(data, named, shard), (CheckpointError,), [indexed]),
        Target("shard", lambda data: _sharded_of(indexed, named, data), (CheckpointError,), [shard]),
        Target("shard-unsummed", lambda data: _sharded_of(unsummed, older, data), (CheckpointError,), [old_shard]),
        Target("checkpoint-header", lambda data: _checkpoint(data, part, owner), (ConfigError, CheckpointError), [kept]),
        Target("checkpoint-part", lambda data: _checkpoint(kept, data, owner), (ConfigError, CheckpointError), [part]),
        Target("checkpoint-owner", lambda data: _checkpoint(kept, part, data), (ConfigError, CheckpointError), [owner]),
        Target("job", _job, (CheckpointError,), [job_file(label="late", weight=None)["job.json"]]),
    ]  # fmt: skip
