"""Memory of one process over ten thousand frames: python tests/benchmarks/frames.py [--frames 10000]

Prints the resident memory in MiB after a tenth of the frames and after all of them, for every predicting modifier.
Each has a process of its own, with one pipeline over a trajectory that is read frame by frame.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import subprocess
import sys
import tempfile
from pathlib import Path

from ovito_glassml.workflow.sample_data import sample_file

#: Modifier and parameters.
PREDICTING = {
    "stiffness": "PredictedStiffnessModifier(species='Cu,Zr')",
    "activity": "PredictedActivityModifier(species='Cu,Zr')",
    "scnn": "PrototypeSimilarityModifier(species='Cu,Zr')",
    "ule": "ULEBarcodeModifier(species='Cu,Zr')",
    "lasca": "LaSCAModifier()",
    "evaluate": "EvaluatePredictionModifier(predicted='Position.X', true='Position.Y', resamples=10)",
}

PROGRAM = """
import sys
from ovito.io import import_file
from ovito_glassml import *

def memory():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

line = import_file(sys.argv[1])
line.modifiers.append(eval(sys.argv[2]))
shown = line.num_frames // 10, line.num_frames // 2, line.num_frames
sys.stdout, answers = open("/dev/null", "w"), sys.stdout  # modifiers warn about every frame
for frame in range(line.num_frames):
    line.compute(frame)
    if frame + 1 in shown:
        print(f"{memory():.1f}", file=answers, flush=True)
"""


def write_dump(file: Path, frames: int) -> None:
    """A Cu50Zr50 glass of 250 atoms at 300 K: the shipped frames, again and again."""
    shipped = gzip.decompress(sample_file("trajectory/cu50zr50-300k.dump.gz").read_bytes()).decode()
    texts = ["ITEM: TIMESTEP" + text for text in shipped.split("ITEM: TIMESTEP")[1:]]
    with open(file, "w") as sink:
        sink.writelines(itertools.islice(itertools.cycle(texts), frames))


def measured(frames: int, modifier: str) -> list[float]:
    """MiB after a tenth, half and all of the frames."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "long.dump"
        write_dump(file, frames)
        command = [sys.executable, "-c", PROGRAM, str(file), modifier]
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [float(text) for text in answer.split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=10000)
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(PREDICTING)}; all by default")
    options = parser.parse_args()
    print(f"{'modifier':12s} {'frames':>8s} {'MiB at 1/10':>12s} {'at 1/2':>8s} {'at the end':>11s} {'growth':>8s}")
    for name in options.names or PREDICTING:
        early, middle, late = measured(options.frames, PREDICTING[name])
        print(
            f"{name:12s} {options.frames:8d} {early:12.1f} {middle:8.1f} {late:11.1f} {late - early:8.1f}", flush=True
        )


if __name__ == "__main__":
    main()
