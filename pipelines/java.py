"""Is there a Java that Spark can run on? In: the environment; out: nothing, or one line that says what to install.

Looks where Spark looks: ``$JAVA_HOME/bin/java`` first, then ``java`` on the path.
"""

import os
import re
import subprocess
import sys

REQUIRED = 17
ADVICE = f"Spark needs Java {REQUIRED}: apt-get install openjdk-{REQUIRED}-jre-headless"


def java_problem() -> str | None:
    """Return one line that says why Spark cannot start here, or None when it can.

    Examples
    --------
    >>> line = java_problem()
    >>> line is None or line.startswith("Spark needs Java 17: apt-get install openjdk-17-jre-headless")
    True
    """
    home = os.environ.get("JAVA_HOME")
    java = os.path.join(home, "bin", "java") if home else "java"
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return f"{ADVICE} ({java} cannot be run)"
    found = java_version(answer.stderr + answer.stdout)
    if answer.returncode != 0 or found is None:
        return f"{ADVICE} ({java} does not answer to -version)"
    if found < REQUIRED:
        return f"{ADVICE} ({java} is version {found})"
    return None


def java_version(text: str) -> int | None:
    """Return the major version in what ``java -version`` prints.

    Examples
    --------
    >>> java_version('openjdk version "17.0.15" 2025-04-15'), java_version('java version "1.8.0_292"')
    (17, 8)
    """
    match = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(match.group(1)) if match else None


if __name__ == "__main__":
    problem = java_problem()
    if problem:
        print(f"{problem}; going on without Spark", file=sys.stderr)
