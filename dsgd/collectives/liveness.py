"""Whether a process of this machine still runs, zombies excluded."""

import os
from pathlib import Path


def is_running(pid: int) -> bool:
    """Return False when process ``pid`` is known to have ended; True when it runs or nobody can tell.

    Examples
    --------
    >>> import os
    >>> is_running(os.getpid())
    True
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except FileNotFoundError:
        # Without /proc a process that was killed and not yet waited for looks alive; the deadline finds it.
        return not Path("/proc/self/stat").exists()
    except OSError:
        return False
    # The state follows the command's name, which is in parentheses and may contain anything.
    return status.rpartition(b")")[2].split()[0] not in (b"Z", b"X")
