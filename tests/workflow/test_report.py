"""A page about structures holds every number of the modifiers, says how far to trust them, and needs no other file."""

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from ovito_glassml.adapter.files import FileError, annotate, open_trajectory
from ovito_glassml.adapter.input import structure_from_data
from ovito_glassml.adapter.render import RenderingUnavailable
from ovito_glassml.modifiers.registry import MODIFIERS, by_name
from ovito_glassml.progress import silent
from ovito_glassml.simulate.harmonic import minimised
from ovito_glassml.simulate.material import load_material
from ovito_glassml.simulate.snapshots import Snapshot, read_snapshot, write_frames, write_snapshot
from ovito_glassml.structure import Structure
from ovito_glassml.topology.length_scale import first_peak
from ovito_glassml.workflow.report import Wishes, pictures, write_report
from ovito_glassml.workflow.report.collect import Shot, views_of
from ovito_glassml.workflow.report.facts import facts_of, with_elasticity
from ovito_glassml.workflow.report.numbers import percent, rounded, with_error
from ovito_glassml.workflow.report.sections import fact_rows
from ovito_glassml.workflow.sample_data import sample_file
from ovito_glassml.workflow.stability import budget_of_files

GLASS = "barriers/barriers-cu50zr50-2.xyz.gz"
TRAJECTORY = "trajectory/cu50zr50-300k.dump.gz"
CHROMIUM = shutil.which("chromium")
VOID = {"meta", "link", "img", "br", "input", "hr"}


class Page(HTMLParser):
    """Checks that every tag is closed where it was opened, and keeps what stands in attributes."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.attributes, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)


def page_of(files, output, **options):
    """What was collected, and the page that was written."""
    compare = options.pop("compare", False)
    found = write_report(files, output, Wishes(**options), compare=compare)
    return found, Page(output.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def glass():
    return sample_file(GLASS)


@pytest.fixture(scope="module")
def written(glass, tmp_path_factory):
    """A page about a real glass with everything that answers a question."""
    output = tmp_path_factory.mktemp("page") / "report.html"
    found, page = page_of([glass], output)
    return found, page, output


@pytest.fixture
def no_renderer(monkeypatch):
    def fail(*arguments, **options):
        raise RenderingUnavailable("OVITO found no Vulkan driver.")

    monkeypatch.setattr(pictures, "render_colours", fail)


def flat_file(path):
    sheet = "".join(f"Cu {x} {y} 0\n" for x in range(6) for y in range(6))
    path.write_text(f'36\nLattice="6 0 0 0 6 0 0 0 6" Properties=species:S:1:pos:R:3\n{sheet}')
    return path


def test_every_number_of_the_modifiers_stands_on_the_page(written, glass, tmp_path):
    _, page, _ = written
    names = ("stiffness", "scnn", "ule", "lasca")
    frames = []
    chain = [by_name()[name].load()() for name in names]
    annotate([glass], chain, tmp_path / "all.xyz", on_frame=lambda done, total, data: frames.append(data))
    values = {value for tag, name, value in page.attributes if tag == "data"}
    prefixes = tuple(type(one).__name__.removesuffix("Modifier") + "." for one in chain)
    told = {name: one for name, one in frames[0].attributes.items() if name.startswith(prefixes)}
    assert len(told) > 30
    for name, value in told.items():
        if isinstance(value, float) and np.isfinite(value):
            assert repr(value) in values, name
        elif isinstance(value, int):
            assert str(value) in values, name
        elif isinstance(value, str):
            assert value in page.text


def test_every_view_of_every_modifier_has_a_place(written):
    found, page, _ = written
    shown = {(modifier.name, view.title) for modifier, view in found.views()}
    refused = {one.title for one in found.refusals}
    for modifier, view in views_of(MODIFIERS):
        if not modifier.describes and modifier.name != "evaluate":
            title = f"{modifier.title}, {view.title}" if view.title else modifier.title
            assert ((modifier.name, view.title) in shown) != (title in refused)
            assert title in page.text


def test_the_page_needs_nothing_else(written):
    _, page, output = written
    text = output.read_text(encoding="utf-8")
    assert not re.search(r"https?://|url\(|@import|<script", text)
    for _, name, value in page.attributes:
        if name in ("src", "href"):
            assert value.startswith(("data:", "#"))
    assert {value[1:] for _, name, value in page.attributes if name == "href" and value[0] == "#"} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_it_says_what_the_structure_is(written):
    _, page, _ = written
    for text in ("1 000 atoms of Cu50Zr50, at rest", "g/cm³", "26.13 × 26.13 × 26.13 Å, periodic", "Cu-Zr"):
        assert text in page.text
    assert "by its forces in the potential cu-zr" in page.text


def test_it_says_in_words_how_far_to_trust(written):
    _, page, _ = written
    assert "this structure is like the training data" in page.text
    assert "The sample is like the training (score" in page.text
    assert "do not trust it: this structure is unlike the training data" in page.text  # the barcode of another alloy
    assert "was trained on 56.0 % Cu, 44.0 % Zr" in page.text
    # The file has measured barriers, and the number is that of the documentation.
    assert "one of the highest 20 % gets a larger value than another with the probability 0.86" in page.text
    assert "On samples that stiffness-cuzr did not learn from" in page.text


def test_partial_functions_add_up_and_neighbours_are_counted(glass):
    structure = structure_from_data(open_trajectory(glass).compute())
    facts = facts_of(structure, {})
    pairs, share = facts.pairs, 0.5
    mixed = share**2 * (pairs.by_pair["Cu-Cu"] + 2 * pairs.by_pair["Cu-Zr"] + pairs.by_pair["Zr-Zr"])
    np.testing.assert_allclose(mixed, pairs.total, atol=1e-5)
    assert pairs.peak == first_peak(structure)
    apart = structure.positions[:, None] - structure.positions
    apart -= np.round(apart / structure.cell[0, 0]) * structure.cell[0, 0]
    near = (distances := np.linalg.norm(apart, axis=2)) < pairs.radii[pairs.radii < pairs.minimum][-1] + np.diff(
        pairs.radii
    )[0] / 2
    np.fill_diagonal(near, False)
    assert distances.shape == (1000, 1000)
    copper = structure.species == 0
    counted = near[copper][:, ~copper].sum(axis=1).mean()
    assert pairs.neighbours["Cu-Zr"] == pytest.approx(counted, rel=0.01)


def test_pressure_is_the_slope_of_the_energy(glass):
    from ovito_glassml.simulate.forces import LammpsForces

    structure = structure_from_data(open_trajectory(glass).compute())
    material, strain, energies = load_material("cu-zr"), 1e-4, []
    squeezed = read_snapshot(glass).structure
    for factor in (0.99 * (1 - strain), 0.99 * (1 + strain)):
        cell = factor * squeezed.cell
        scaled = type(structure)(
            factor * squeezed.positions, squeezed.species, squeezed.species_names, cell, pbc=(True,) * 3
        )
        with LammpsForces(scaled, material) as forces:
            energies.append(forces(scaled.positions)[0])
    middle = type(structure)(
        0.99 * squeezed.positions, squeezed.species, squeezed.species_names, 0.99 * squeezed.cell, pbc=(True,) * 3
    )
    facts = facts_of(middle, {}, "cu-zr")
    volumes = [abs(np.linalg.det(factor * squeezed.cell)) for factor in (0.99 * (1 - strain), 0.99 * (1 + strain))]
    slope = -(energies[1] - energies[0]) / (volumes[1] - volumes[0]) * 160.21766  # eV/Å³ in GPa
    assert facts.mechanics.pressure == pytest.approx(slope, rel=1e-3)
    assert slope > 2
    assert facts.state == "thermal"  # not at rest, once squeezed


def test_without_a_renderer_slices_are_plotted_and_that_is_said(glass, tmp_path, no_renderer):
    found, page = page_of([glass], tmp_path / "plain.html", modifiers=["stiffness", "lasca"])
    images = [value for tag, name, value in page.attributes if (tag, name) == ("img", "src")]
    assert len(images) == len(found.results) == 2
    assert all(len(image) > 5000 for image in images)
    assert "no Vulkan driver. So pictures are plotted slices." in page.text


def test_files_stand_side_by_side_and_their_difference_has_an_error(glass, tmp_path, no_renderer):
    other = sample_file("barriers/barriers-cu50zr50-1.xyz.gz")
    chosen = ["stiffness", "ule", "lasca"]
    found, page = page_of([glass, other], tmp_path / "two.html", modifiers=chosen, compare=True)
    assert [shot.name for shot in found.main] == ["barriers-cu50zr50-2", "barriers-cu50zr50-1"]
    assert "barriers-cu50zr50-1 compared with barriers-cu50zr50-2" in page.text
    stiffness = [one.values for one in found.results if one.modifier.name == "stiffness"]
    shown = re.search(r"Predicted stiffness \(eV/Å²\) (\S+) (\S+) (\S+) ± (\S+) ", page.text)
    means = [one.mean() for one in stiffness]
    assert [float(shown[1]), float(shown[2])] == pytest.approx(means, abs=1e-4)
    assert float(shown[3].replace("−", "-")) == pytest.approx(means[1] - means[0], abs=float(shown[4]))
    # Much more than for independent atoms, of the same order.
    alone = np.hypot(*(one.std() / len(one) ** 0.5 for one in stiffness))
    assert 0.5 * alone < float(shown[4]) < 6 * alone
    budgets = [
        budget_of_files([file], "ule-zr44cu56", "", slice(-1, None), lambda *told: None)[0] for file in (glass, other)
    ]
    energies = [1000 * float(budget.energy.values) for budget in budgets]
    total = re.search(r"barriers-cu50zr50-1 has (\S+) ± (\S+) meV/atom more energy", page.text)
    assert float(total[1].replace("−", "-")) == pytest.approx(energies[1] - energies[0], abs=float(total[2]))


def test_the_same_file_twice_has_two_names_and_no_difference(glass, tmp_path, no_renderer):
    found, page = page_of([glass, glass], tmp_path / "twice.html", modifiers=["stiffness"], compare=True)
    first, second = (shot.name for shot in found.main)
    assert first != second
    assert "no more than chance" in page.text


def test_frames_are_small_pictures_and_curves(tmp_path, no_renderer):
    output = tmp_path / "frames.html"
    chosen = ["stiffness", "nonaffine", "vibrations"]
    found, page = page_of(
        [sample_file(TRAJECTORY)], output, modifiers=chosen, every=50, temperature=300.0, compare=True
    )
    assert [shot.frame for shot in found.shots] == [0, 50, 100]
    assert [shot.frame for shot in found.main] == [100]
    assert "cu50zr50-300k, frame 100 (the last of 101 frames)" in page.text
    assert "at temperature and not minimised" in page.text
    of = {name: [one for one in found.results if one.modifier.name == name] for name in chosen}
    assert [len(of[name]) for name in chosen] == [3, 3, 1]
    assert of["vibrations"][0].attributes["frames"] == 101
    assert of["nonaffine"][0].attributes["mean"] == pytest.approx(0)  # the reference itself
    images = [value for tag, name, value in page.attributes if (tag, name) == ("img", "src")]
    assert len(images) == 3 + 3 + 3  # one of each in full, three frames of two
    assert "frame 50" in page.text
    assert "compared with cu50zr50-300k, frame 0" in page.text
    assert output.read_text(encoding="utf-8").count('class="dot') >= 9


def test_few_frames_of_a_long_trajectory_are_shown(tmp_path, no_renderer):
    found, _ = page_of([sample_file(TRAJECTORY)], tmp_path / "few.html", modifiers=["stiffness"])
    frames = [shot.frame for shot in found.shots]
    assert len(frames) == 8
    assert (frames[0], frames[-1]) == (0, 100)


def test_measured_stiffness_asks_for_the_temperature(tmp_path, no_renderer):
    found, page = page_of([sample_file(TRAJECTORY)], tmp_path / "cold.html", modifiers=["vibrations"], every=100)
    assert not found.results
    assert "give it, as in --temperature 300" in page.text


def test_what_cannot_be_used_is_left_out_with_its_sentence(glass, tmp_path, no_renderer):
    flat = flat_file(tmp_path / "flat.xyz")
    found, page = page_of([glass, flat], tmp_path / "some.html", modifiers=["lasca"])
    assert [shot.name for shot in found.shots] == ["barriers-cu50zr50-2"]
    assert "flat is left out:" in page.text
    assert "two" in found.unread[0].sentence or "plane" in found.unread[0].sentence


@pytest.mark.parametrize("kind", ["flat", "empty", "damaged"])
def test_nothing_usable_is_an_error_and_leaves_no_page(tmp_path, kind):
    file = tmp_path / f"{kind}.xyz"
    if kind == "flat":
        flat_file(file)
    elif kind == "empty":
        file = tmp_path / "empty.dump"
        file.write_text(
            "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n0\nITEM: BOX BOUNDS pp pp pp\n0 5\n0 5\n0 5\n"
            "ITEM: ATOMS id type x y z\n"
        )
    else:
        file.write_text("no structure\n")
    with pytest.raises(FileError, match=rf"^{file.name.split('.')[0]}: ."):
        write_report([file], tmp_path / "none.html")
    assert not (tmp_path / "none.html").exists()


def test_a_cluster_without_a_cell_has_a_page(tmp_path, no_renderer):
    rng = np.random.default_rng(3)
    corners = 2.8 * np.mgrid[0:5, 0:5, 0:5].reshape(3, -1).T + rng.normal(0, 0.1, (125, 3))
    rows = "".join(f"{'Cu' if n % 2 else 'Zr'} {x} {y} {z}\n" for n, (x, y, z) in enumerate(corners))
    (tmp_path / "cluster.xyz").write_text(f"125\nno cell\n{rows}")
    found, page = page_of([tmp_path / "cluster.xyz"], tmp_path / "cluster.html")
    assert "no simulation cell" in page.text
    assert {one.modifier.name for one in found.results} >= {"stiffness", "lasca"}


def test_unnamed_types_have_a_page_that_asks_for_their_names(tmp_path, no_renderer):
    snapshot = read_snapshot(sample_file(GLASS))
    file = tmp_path / "unnamed.dump"
    with open(file, "w") as sink:
        edge = snapshot.structure.cell[0, 0]
        sink.write("ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n1000\nITEM: BOX BOUNDS pp pp pp\n" + f"0 {edge}\n" * 3)
        sink.write("ITEM: ATOMS id type x y z\n")
        for number, (kind, place) in enumerate(
            zip(snapshot.structure.species, snapshot.structure.positions, strict=True)
        ):
            sink.write(f"{number + 1} {kind + 1} {place[0]} {place[1]} {place[2]}\n")
    found, page = page_of([file], tmp_path / "unnamed.html", modifiers=["stiffness", "lasca"])
    assert {one.modifier.name for one in found.results} == {"lasca"}
    assert "--species Cu,Zr" in page.text
    found, _ = page_of([file], tmp_path / "named.html", modifiers=["stiffness"], species="Cu,Zr")
    assert found.shots[0].facts.composition == "Cu50Zr50"
    assert len(found.results) == 1


def test_lennard_jones_has_its_own_units(tmp_path, no_renderer):
    snapshot = read_snapshot(sample_file("activity/thermal-wahnstrom-1.xyz.gz"))
    file = tmp_path / "liquid.xyz.gz"
    write_snapshot(file, snapshot.structure, {}, {})
    found, page = page_of([file], tmp_path / "lj.html", modifiers=["lasca"], material="wahnstrom")
    assert found.shots[0].facts.length == "σ"
    assert "atoms/σ³" in page.text
    assert "g/cm³" not in page.text
    found, _ = page_of([file], tmp_path / "unknown.html", modifiers=["lasca"])
    assert found.shots[0].facts.mechanics is None
    assert "say which it is with --material" in found.shots[0].facts.missing["potential"]


def test_large_forces_tell_nothing_in_a_potential_that_was_guessed(glass):
    """A glass at rest in another potential has forces in this one; one at rest in this one is at rest."""
    glass_at_rest = structure_from_data(open_trajectory(glass).compute())
    squeezed = Structure(
        0.98 * glass_at_rest.positions, glass_at_rest.species, ("Cu", "Zr"), 0.98 * glass_at_rest.cell, pbc=(True,) * 3
    )
    guessed, given = facts_of(squeezed, {}), facts_of(squeezed, {}, "cu-zr")
    assert guessed.mechanics.largest_force == given.mechanics.largest_force > 0.01
    assert "forces" in given.why
    assert given.state == "thermal"
    assert "resembles" in guessed.why
    assert "forces" in facts_of(glass_at_rest, {}).why


def test_a_structure_in_crystals_is_hardly_a_glass(tmp_path, no_renderer):
    cells = 3.27 * np.mgrid[0:6, 0:6, 0:6].reshape(3, -1).T
    corners = np.concatenate([cells, cells + 3.27 / 2]) + np.random.default_rng(1).normal(0, 0.03, (432, 3))
    crystal = Structure(corners, np.repeat([0, 1], 216), ("Cu", "Zr"), 19.62 * np.eye(3), pbc=(True,) * 3)
    write_frames(tmp_path / "b2.xyz.gz", [Snapshot(crystal, {}, {})])
    _, page = page_of([tmp_path / "b2.xyz.gz"], tmp_path / "b2.html", modifiers=["lasca"])
    assert "hardly a glass" in page.text
    assert "B2 100 %" in page.text


def test_frames_of_changing_atoms_have_a_page(tmp_path, no_renderer):
    rng = np.random.default_rng(5)
    with open(tmp_path / "varying.xyz", "w") as sink:
        for count, kinds in ((5, ["Cu", "Zr"]), (4, ["Cu"]), (5, ["Cu", "Zr"])):
            corners = 2.6 * np.mgrid[0:count, 0:count, 0:count].reshape(3, -1).T
            edge = 2.6 * count
            sink.write(f'{count**3}\nLattice="{edge} 0 0 0 {edge} 0 0 0 {edge}" Properties=species:S:1:pos:R:3\n')
            for place in corners + rng.normal(0, 0.1, corners.shape):
                sink.write(f"{rng.choice(kinds)} {place[0]} {place[1]} {place[2]}\n")
    chosen = ["stiffness", "nonaffine", "lasca"]
    found, page = page_of([tmp_path / "varying.xyz"], tmp_path / "v.html", modifiers=chosen, compare=True)
    assert len([one for one in found.results if one.modifier.name == "lasca"]) == 3
    assert "Particles have other types than in the reference" in page.text
    assert "compared with varying, frame 0" in page.text


def test_the_last_frame_that_can_be_used_is_shown_in_full(tmp_path, no_renderer):
    rng = np.random.default_rng(5)
    corners = 2.6 * np.mgrid[0:4, 0:4, 0:4].reshape(3, -1).T + rng.normal(0, 0.1, (64, 3))
    with open(tmp_path / "ends.xyz", "w") as sink:
        for flat in (True, False, False, True):
            sink.write('64\nLattice="10.4 0 0 0 10.4 0 0 0 10.4" Properties=species:S:1:pos:R:3\n')
            for x, y, z in corners:
                sink.write(f"Cu {x} {y} {'nan' if flat else z}\n")
    found, page = page_of([tmp_path / "ends.xyz"], tmp_path / "ends.html", modifiers=["lasca"], compare=True)
    assert [(shot.frame, shot.is_main) for shot in found.shots] == [(1, False), (2, True)]
    assert {one.name for one in found.unread} == {"ends, frame 0", "ends, frame 3"}
    assert "ends, frame 2 compared with ends, frame 1" in page.text


def test_pictures_stay_few_however_many_frames_are_shown(tmp_path, no_renderer):
    found, _ = page_of([sample_file(TRAJECTORY)], tmp_path / "many.html", modifiers=["lasca"], every=5)
    assert len(found.results) == 21
    assert sum(one.drawn is not None for one in found.results) == 12


def test_density_of_a_slab_says_what_it_counts(tmp_path, no_renderer):
    corners = 2.7 * np.mgrid[0:5, 0:5, 0:5].reshape(3, -1).T + np.random.default_rng(2).normal(0, 0.1, (125, 3))
    slab = Structure(corners, np.arange(125) % 2, ("Cu", "Zr"), np.diag([13.5, 13.5, 40]), pbc=(True, True, False))
    write_frames(tmp_path / "slab.xyz.gz", [Snapshot(slab, {}, {})])
    _, page = page_of([tmp_path / "slab.xyz.gz"], tmp_path / "slab.html", modifiers=["lasca"])
    assert "of the cell with what is empty in it" in page.text
    assert "periodic in a, b" in page.text


def test_a_lone_atom_is_not_called_familiar(tmp_path, no_renderer):
    lone = Structure(np.ones((1, 3)), [0], ("Cu",), 50 * np.eye(3), pbc=(True,) * 3)
    write_frames(tmp_path / "lone.xyz.gz", [Snapshot(lone, {}, {})])
    _, page = page_of([tmp_path / "lone.xyz.gz"], tmp_path / "lone.html", modifiers=["stiffness"])
    assert "no atom has a value" in page.text
    assert "this structure is like the training data" not in page.text


def test_only_samples_that_were_learned_from_are_called_so(tmp_path, no_renderer):
    """shear-kob-andersen-10 was, shear-kob-andersen-1 was kept aside."""
    told = []
    for number in (1, 10):
        file = sample_file(f"activity/shear-kob-andersen-{number}.xyz.gz")
        _, page = page_of([file], tmp_path / f"{number}.html", modifiers=["activity"], every=1000)
        told.append("was among those that it learned from" in page.text)
    assert told == [False, True]


def test_bonds_are_not_drawn(tmp_path, no_renderer):
    chain = np.random.default_rng(0).uniform(1, 9, (40, 3))
    atoms = "".join(f"{n} 1 1 {x} {y} {z}\n" for n, (x, y, z) in enumerate(chain, start=1))
    bonds = "".join(f"{n} 1 {n} {n + 1}\n" for n in range(1, 40))
    sides = "".join(f"0 10 {axis}lo {axis}hi\n" for axis in "xyz")
    head = f"chain\n\n40 atoms\n39 bonds\n1 atom types\n1 bond types\n\n{sides}"
    (tmp_path / "chain.data").write_text(f"{head}\nAtoms # bond\n\n{atoms}\nBonds\n\n{bonds}")
    found, _ = page_of([tmp_path / "chain.data"], tmp_path / "chain.html", modifiers=["lasca"])
    assert found.results[0].scene.particles.bonds is None


def test_names_of_files_cannot_become_markup(glass, tmp_path, no_renderer):
    file = tmp_path / "<b>&amp;.xyz.gz"
    shutil.copy(glass, file)
    _, page = page_of([file], tmp_path / "odd.html", modifiers=["lasca"])
    assert "<b>&amp;" in page.text


def test_the_same_input_gives_the_same_page(glass, tmp_path, no_renderer):
    texts = []
    for name in ("first", "second"):
        page_of([glass], tmp_path / f"{name}.html", modifiers=["stiffness", "lasca"])
        texts.append((tmp_path / f"{name}.html").read_bytes())
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (rounded(0.79140), "0.791"), (rounded(4000), "4\u2009000"), (rounded(-3.14e-6, 2), "−3.1·10⁻⁶"),
        (rounded(0.0), "0.00"), (rounded(float("nan")), "none"), (rounded(12.5, 2, sign=True), "+12"),
        (percent(0.0), "0 %"), (percent(0.0311), "3.1 %"), (percent(0.346), "35 %"), (percent(0.00075), "0.07 %"),
        (with_error(0.01234, 0.00456), "+0.0123 ± 0.0046"), (with_error(-12.34, 4.5), "−12.3 ± 4.5"),
    ],
)  # fmt: skip
def test_numbers_have_sensible_digits(text, expected):
    assert text == expected


# ---------------------------------------------------------------------- in a browser


def chromium(*arguments):
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"]
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("width", [400, 1200])
def test_a_browser_shows_it_without_errors_and_without_scrolling_sideways(written, tmp_path, width):
    _, _, output = written
    measured = "<script>document.title = [innerWidth, document.documentElement.scrollWidth].join(' ')</script>"
    copy = tmp_path / "measured.html"
    copy.write_text(output.read_text(encoding="utf-8").replace("</body>", f"{measured}</body>"), encoding="utf-8")
    ended = chromium(f"--window-size={width},900", "--dump-dom", copy.as_uri())
    visible, needed = map(int, re.search(r"<title>(\d+) (\d+)</title>", ended.stdout).groups())
    assert visible <= max(width, 500)
    assert needed <= visible
    assert "CONSOLE" not in ended.stderr


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_prints_it(written, tmp_path):
    _, _, output = written
    printed = tmp_path / "report.pdf"
    chromium(f"--print-to-pdf={printed}", output.as_uri())
    content = printed.read_bytes()
    assert content.startswith(b"%PDF")
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 30


@pytest.fixture(scope="module")
def small_glasses(tmp_path_factory):
    """Two frames of 120 Lennard-Jones atoms: shaken, and at rest."""
    random, material = np.random.default_rng(3), load_material("kob-andersen")
    grid = np.stack(np.meshgrid(*[np.arange(5)] * 3), axis=-1).reshape(-1, 3)[:120] / 5
    kinds = (random.permutation(120) >= 96).astype(int)
    places = (grid + random.uniform(-0.03, 0.03, grid.shape)) * 100 ** (1 / 3)
    glass = minimised(Structure(places, kinds, ("A", "B"), 100 ** (1 / 3) * np.eye(3), pbc=(True,) * 3), material)
    shaken = glass.moved(glass.positions + random.normal(0, 0.01, (120, 3)))
    file = tmp_path_factory.mktemp("small") / "two.xyz.gz"
    write_frames(file, [Snapshot(shaken, {}, {}), Snapshot(glass, {}, {})])
    return file


def test_elastic_constants_are_given_when_asked_for(small_glasses, tmp_path, no_renderer):
    wishes = {"modifiers": ["lasca"], "material": "kob-andersen"}
    found, page = page_of([small_glasses], tmp_path / "elastic.html", elastic=True, **wishes)
    elasticity = found.main[0].facts.elasticity
    assert [shot.facts.elasticity is None for shot in found.shots] == [True, False]  # of what is shown in full
    assert f"Bulk modulus {rounded(elasticity.bulk_modulus)} ε/σ³" in page.text
    shear = with_error(elasticity.shear_modulus, elasticity.shear_error, sign=False)
    assert f"Shear modulus {shear} ε/σ³, from {rounded(elasticity.shear_range[0])} to" in page.text
    ratio = with_error(elasticity.poissons_ratio, elasticity.poissons_ratio_error, sign=False)
    assert f"Poisson's ratio {ratio}" in page.text
    assert "Moduli are those of the structure at zero temperature" in page.text
    _, page = page_of([small_glasses], tmp_path / "plain.html", **wishes)
    assert "modulus" not in page.text


def test_moduli_say_when_they_are_those_of_another_structure(small_glasses, tmp_path, no_renderer):
    shaken = structure_from_data(open_trajectory(small_glasses).compute(0))
    facts = with_elasticity(facts_of(shaken, {}, "kob-andersen"), shaken, silent)
    shot = Shot("", "", 0, 1, True, True, facts)
    assert dict(fact_rows([shot]))["Moduli are those of"] == ["the energy minimum below the structure"]
    broken = replace(facts, elasticity=replace(facts.elasticity, rearranging=2))
    assert (
        "in 2 of 6 directions atoms rearrange"
        in dict(fact_rows([replace(shot, facts=broken)]))["Moduli are those of"][0]
    )
    crystal = replace(facts, crystals={"fcc": 1.0, "total": 1.0})
    rows = dict(fact_rows([replace(shot, facts=crystal)]))
    assert "averages over the directions of a crystal" in rows["Moduli are those of"][0]
    assert "±" not in rows["Shear modulus"][0] + rows["Poisson's ratio"][0]


def test_without_potential_or_with_surfaces_there_are_no_moduli(small_glasses):
    glass = structure_from_data(open_trajectory(small_glasses).compute(1))
    lost = with_elasticity(facts_of(glass, {}), glass, silent)
    assert lost.missing["elastic constants"] == "They need the potential."
    cluster = Structure(glass.positions, glass.species, glass.species_names, glass.cell)
    open_one = with_elasticity(facts_of(cluster, {}, "kob-andersen"), cluster, silent)
    assert "periodic in all directions" in open_one.missing["elastic constants"]
    assert lost.elasticity is open_one.elasticity is None
