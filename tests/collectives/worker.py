"""One rank of a gang of processes: connects as its first line says, then runs a check a line."""

import json
import sys
import time
from pathlib import Path

from dsgd.errors import DSGDError
from dsgd.transport import FitKeys
from tests.collectives import checks
from tests.collectives.gangs import Context, Setting, decode, encode


def meet(directory: Path, rank: int, size: int, payload: bytes) -> list[bytes]:
    """All-gather through files that appear whole."""
    unfinished = directory / f"{rank}.new"
    unfinished.write_bytes(payload)
    unfinished.rename(directory / f"{rank}.card")
    paths = [directory / f"{other}.card" for other in range(size)]
    until = time.monotonic() + 60
    while not all(path.exists() for path in paths):
        if time.monotonic() > until:
            raise TimeoutError(f"rank {rank} met only {[path.name for path in paths if path.exists()]}")
        time.sleep(0.005)
    return [path.read_bytes() for path in paths]


def reply(value: object) -> None:
    print(json.dumps(encode(value)), flush=True)


def main() -> None:
    start = json.loads(sys.stdin.readline())
    fit, server, client, token = start["keys"]
    keys = FitKeys(fit, tuple(decode(server)), tuple(decode(client)), token)
    setting, rank, size, scratch = Setting(**start["setting"]), start["rank"], start["size"], start["scratch"]
    context = Context(
        rank, size, setting.machine(rank), scratch, lambda payload: meet(Path(scratch), rank, size, payload)
    )
    try:
        collective = setting.connect(context, keys)
    except DSGDError as error:
        return reply([type(error).__name__, str(error)])
    reply("connected")
    for line in sys.stdin:
        command = json.loads(line)
        try:
            reply(getattr(checks, command["check"])(collective, *command["arguments"]))
        except DSGDError as error:
            reply([type(error).__name__, str(error)])
    collective.close()
    collective.close()


if __name__ == "__main__":
    main()
