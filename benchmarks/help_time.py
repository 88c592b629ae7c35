"""How long a person waits for `epipole --help`: the median of several starts, in seconds."""

import statistics
import subprocess
import sys
import time

STARTS = 11


def one_start() -> float:
    """Seconds from the command to its end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "epipole", "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


if __name__ == "__main__":
    print(f"epipole --help: {statistics.median(one_start() for _ in range(STARTS)):.3f} s (median of {STARTS})")
