"""The four glasses of before there were materials send LAMMPS what they sent then, so that their labels are the same.

The commands were written down with the code of that time; numbers that come from LAMMPS itself are left out.
"""

import hashlib
import re

import pytest

from ovito_glassml.simulate import lammps_module
from ovito_glassml.simulate.material import load_material
from ovito_glassml.simulate.protocols.anneal import AnnealSettings, anneal
from ovito_glassml.simulate.protocols.isoconfigurational import IsoconfigurationalSettings, isoconfigurational
from ovito_glassml.simulate.protocols.quench import QuenchSettings, quench
from ovito_glassml.simulate.protocols.shear_aqs import ShearAQSSettings, shear_aqs
from ovito_glassml.simulate.protocols.shear_md import ShearMDSettings, shear_md
from ovito_glassml.simulate.protocols.vibrations import VibrationSettings, vibrations

FAST = {"cooling_rate": 5e14, "fast_rate": 5e14, "melt_time": 0.5}
STRAINS = {"discarded_strain": 0.01, "discarded_step": 5e-3, "strain": 0.01, "search_step": 2e-3, "step": 1e-3}
CU_ZR = load_material("cu-zr")
JOBS = {
    "quench": (quench, CU_ZR, QuenchSettings(108, seed=4, **FAST)),
    "anneal": (
        anneal,
        load_material("cu-zr", "Zr44Cu56"),
        AnnealSettings(
            atoms=108,
            number_density=0.0576,
            melt_time=0.3,
            quench_time=1.5,
            temperatures=(500.0, 700.0),
            anneal_time=0.6,
            structures=2,
        ),
    ),
    "vibrations": (vibrations, CU_ZR, VibrationSettings((50.0, 100.0), 1.0, 0.1, 1.0, 7)),
    "shear-md": (shear_md, CU_ZR, ShearMDSettings(300.0, 1e11, 0.05, 2, 0.5, 3)),
    **{
        f"shear-{name}": (shear_aqs, load_material(name), ShearAQSSettings(120, 2, 1.0, 2.0, **STRAINS))
        for name in ("kob-andersen", "wahnstrom", "polymer")
    },
    "shear-cu50zr50": (shear_aqs, CU_ZR, ShearAQSSettings(120, 2, 0.5, 1.0, **STRAINS)),
    **{
        f"iso-{name}": (
            isoconfigurational,
            load_material(name),
            IsoconfigurationalSettings(120, 2, 1.0, 2.0, 1.0, 1.0, 2),
        )
        for name in ("kob-andersen", "wahnstrom", "polymer")
    },
}
FORMER = {
    "quench": "c73146806ec2d265",
    "vibrations": "50435d0d66308e1c",
    "anneal": "ed8942cd6f8a7f62",
    "shear-md": "9d48c38eda5ff7f5",
    "shear-kob-andersen": "3ea67f94d9cc14dc",
    "iso-kob-andersen": "f2334e80292122bc",
    "shear-wahnstrom": "c380a350d9266ebf",
    "iso-wahnstrom": "5730b32374cb7773",
    "shear-polymer": "97aa3b7e5a0a09a9",
    "iso-polymer": "33d082c720092d77",
    "shear-cu50zr50": "ec76d2afb3407ac9",
}


#: Of minimising now and then, but for random starts.
FOR_MINIMA = re.compile(
    "min_style|min_modify|minimize (?!.* (300 3000|500 5000)$)|(un)?fix relax|run 1 pre no|velocity all set|.* scale "
)


def comparable(line):
    """Without the folders of files; numbers as such, since 1e-5 is 1e-05."""
    line = re.sub(r'"[^"]*/([^/"]*)"', lambda found: "TMP" if found[1].startswith("tmp") else found[1], line)
    return " ".join(
        f"{float(word):.15g}" if re.fullmatch(r"-?[\d.]+(e-?\d+)?", word) else word for word in line.split()
    )


def told(lines, of_a_structure=False):
    """Fingerprint of the commands up to where the answers of LAMMPS decide how many there are."""
    kept = []
    for line in map(comparable, lines):
        # A glass is looked at for crystals now, and its energies are asked for under another name.
        if line.startswith(("compute", "uncompute", "run 0", "thermo_style")) or not line:
            continue
        if line.startswith("change_box") and "final" in line:
            break
        # What follows from the positions of a glass is not told beforehand.
        hidden = [word for word in ("change_box", "region") if line.startswith(word)]
        # Minima are found by steps of our own now; LAMMPS minimises random starts only.
        if FOR_MINIMA.match(line):
            continue
        kept.append(hidden[0] if hidden and (of_a_structure or hidden[0] == "change_box") else line)
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", JOBS)
def test_lammps_is_told_what_it_was_told_before(name, small_glass, tmp_path, monkeypatch):
    protocol, material, settings = JOBS[name]
    instance, lines = lammps_module._module().lammps, []

    def noted(plain, prefix=""):
        def call(self, text, *arguments, **options):
            lines.append(f"{prefix}{text}")
            return plain(self, text, *arguments, **options)

        return call

    monkeypatch.setattr(instance, "command", noted(instance.command))
    monkeypatch.setattr(instance, "create_atoms", noted(instance.create_atoms, "create_atoms "))
    start = (small_glass.structure,) if name in ("vibrations", "shear-md") else ()
    protocol(material, *start, settings, tmp_path / "x.xyz.gz", lambda fraction, text: None)
    assert told(lines, of_a_structure=bool(start)) == FORMER[name]
