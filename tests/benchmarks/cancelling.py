"""How long every modifier keeps its user waiting: to import it, for a sign of life, and until it stops when told to.

Run ``python tests/benchmarks/cancelling.py``. The contract is 0.2 s for silence and for closing once everything is
compiled, and 0.5 s of processor time for the import of the package; the best of several rounds counts, since other
processes of the machine are not the modifier's fault. Tests count the signs of life instead, see
`check_cancels_quickly` in tests/conformance.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))

from conformance_cases import direct, installed_cases, large_glass

ROUNDS, ATOMS = 5, 8_000

IMPORT = (
    "import ovito, time; begin = time.process_time(); from ovito_glassml import *; print(time.process_time() - begin)"
)


def longest_silence(start: Callable[[], Any]) -> float:
    """Longest time between two yields."""
    generator, longest = start(), 0.0
    while True:
        begin = time.perf_counter()
        try:
            next(generator)
        except StopIteration:
            return longest
        longest = max(longest, time.perf_counter() - begin)


def time_to_close(start: Callable[[], Any]) -> float:
    """Time that stopping takes when the work has begun."""
    generator = start()
    for _ in range(2):  # a text, and a sign of life from the work
        next(generator)
    begin = time.perf_counter()
    generator.close()
    return time.perf_counter() - begin


def main() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    print(f"import of the package: {float(done.stdout):.2f} s of processor time")
    print(f"{'modifier':32} {'silence (s)':>12} {'closing (s)':>12}")
    for case in installed_cases():
        start = direct(case.make(), large_glass(ATOMS))
        with redirect_stdout(StringIO()):  # what models say of a shaken crystal
            list(start())  # compile and load
            silence = min(longest_silence(start) for _ in range(ROUNDS))
            closing = min(time_to_close(start) for _ in range(ROUNDS))
        print(f"{case!s:32} {silence:12.2f} {closing:12.2f}", flush=True)


if __name__ == "__main__":
    main()
