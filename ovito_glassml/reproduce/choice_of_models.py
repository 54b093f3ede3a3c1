"""How often the right model is chosen for a glass: the table behind the default ``model=""``.

Prints for every structure of the sample data which stiffness or activity model is chosen, and which is right: for
stiffness the model of glasses at rest or of snapshots at 300 K, for activity that of the system::

    python -m ovito_glassml.reproduce.choice_of_models sample_data

Glasses that a candidate was trained on are counted apart, and so is what is no glass: crystals and liquids.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ovito_glassml.learn.choice import choose_model, headers_of
from ovito_glassml.learn.format import remembered
from ovito_glassml.learn.model import load_model
from ovito_glassml.simulate.snapshots import read_frames
from ovito_glassml.structure import Structure

__all__ = ["Case", "Verdict", "cases", "judge", "stem", "summary"]

#: Made at temperature, by the beginning or the end of the file's name; everything else is at rest.
AT_300_K = "300K-"
HOT = ("-at-300-k", "-at-2000-k")
#: Right stiffness model by state.
STIFFNESS = {"at rest": "stiffness-cuzr", "hot": "stiffness-cuzr-300k"}
#: System in the name of an activity sample → that in the names of models.
SYSTEMS = {"kob-andersen": "ka", "wahnstrom": "wahnstrom", "polymer": "polymer", "cu50zr50": "cuzr"}
#: Cu-Zr structures, by folder. The vibrations of the second campaign are of the same glasses as its quenches.
PLACES = (
    "stiffness/vibrations-*",
    "stiffness/snapshots/*",
    "stiffness/foreign/*",
    "second/quench-[cz]*",
    "second/short-anneal-*",
    "barriers/*",
    "barcode/*",
    "activity/shear-cu50zr50-*",
)
#: Parts of the names of what is no glass.
NO_GLASS = ("liquid", "b2-", "fcc-")
ENDING = ".xyz.gz"

_loaded = remembered(load_model)


@dataclass(frozen=True)
class Case:
    """A structure whose right model is known.

    Attributes
    ----------
    name, state : str
    structure : Structure
        The first frame of its file.
    kind, right : str
        Kind and name of the model.
    wanted : dict
        For `choose_model`.
    """

    name: str
    state: str
    structure: Structure
    kind: str
    right: str
    wanted: dict[str, str]


@dataclass(frozen=True)
class Verdict:
    """What was chosen for a case, and to which group of cases it belongs."""

    case: Case
    chosen: str
    scores: dict[str, float]
    group: str

    @property
    def right(self) -> bool:
        return self.chosen == self.case.right


def cases(samples: Path, places: Iterable[str] = PLACES) -> Iterator[Case]:
    """Every structure for the choice of a stiffness model, then every one for that of an activity model.

    Parameters
    ----------
    samples : Path
        The folder `sample_data`.
    places : iterable of str
        Patterns of files.
    """
    files = [file for place in places for file in sorted(samples.glob(place + ENDING))]
    for file in files:
        state = "hot" if file.name.startswith(AT_300_K) or stem(file).endswith(HOT) else "at rest"
        yield Case(stem(file), state, read_frames(file)[0].structure, "stiffness", STIFFNESS[state], {})
    for file in sorted(samples.glob(f"activity/*{ENDING}")) if places is PLACES else ():
        activation, system = stem(file).rsplit("-", 1)[0].split("-", 1)
        right = f"activity-{SYSTEMS[system]}-{activation}"
        wanted = {"activation": activation}
        yield Case(stem(file), "at rest", read_frames(file)[0].structure, "activity", right, wanted)


def judge(case: Case) -> Verdict:
    """Choose a model as a user's modifier does."""
    choice = choose_model(case.structure, case.kind, _loaded, case.wanted)
    learned = {_glass(str(name)) for header in headers_of(case.kind)[0].values() for name in header.training["samples"]}
    group = "kept aside"
    if _glass(case.name) in learned:
        group = "trained on"
    elif any(part in case.name for part in NO_GLASS):
        group = "no glass"
    return Verdict(case, choice.name, dict(choice.scores), group)


def summary(verdicts: Iterable[Verdict]) -> dict[tuple[str, str, str], tuple[int, int]]:
    """Kind, state and group → how many choices were right, and how many there were."""
    counts: dict[tuple[str, str, str], tuple[int, int]] = {}
    for verdict in verdicts:
        key = verdict.case.kind, verdict.case.state, verdict.group
        right, total = counts.get(key, (0, 0))
        counts[key] = right + verdict.right, total + 1
    return counts


def _glass(name: str) -> str:
    """The same for all files of one glass: its quench, its labels, and its snapshot at 300 K."""
    return re.sub("^(quench|harmonic|vibrations)-", "", name.removeprefix(AT_300_K))


def stem(file: Path) -> str:
    """Name of a sample."""
    return file.name.removesuffix(ENDING)


def _main(samples: Path) -> None:
    verdicts = []
    print("| structure | atoms | state | counted as | chosen | right | how unfamiliar |")
    print("|---|---|---|---|---|---|---|")
    for case in cases(samples):
        verdict = judge(case)
        verdicts.append(verdict)
        scores = ", ".join(f"{name} {score:.3f}" for name, score in verdict.scores.items())
        right = "yes" if verdict.right else f"no, {case.right}"
        shown = (case.name, len(case.structure), case.state, verdict.group, verdict.chosen, right, scores)
        print(f"| {' | '.join(map(str, shown))} |", flush=True)
    for (kind, state, group), (right_ones, total) in summary(verdicts).items():
        print(f"{kind}, {state}, {group}: {right_ones} of {total} right")


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
