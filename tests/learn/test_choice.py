"""The choice of a model: species, composition and wishes first, then what the atoms of the structure look like."""

import numpy as np
import pytest
from shaken_crystals import shaken_crystal

from ovito_glassml.learn import format as model_file
from ovito_glassml.learn.choice import choose_model, unfamiliarity
from ovito_glassml.learn.extrapolation import ExtrapolationScore
from ovito_glassml.learn.format import ModelError, list_installed, model_path, save_model
from ovito_glassml.learn.model import load_model
from ovito_glassml.simulate.snapshots import read_snapshot
from ovito_glassml.structure import Structure
from ovito_glassml.workflow.sample_data import sample_file

WIDTH = 6
GLASS = shaken_crystal(1)  # Cu and Zr, as many of each


@pytest.fixture
def put(tmp_path, monkeypatch):
    """Function that writes a model file, shipped or installed; nothing else is either."""
    shipped, installed = tmp_path / "shipped", tmp_path / "installed"
    shipped.mkdir()
    installed.mkdir()
    monkeypatch.setattr(model_file, "SHIPPED_MODELS", shipped)
    monkeypatch.setenv("GLASSML_MODELS", str(installed))

    def write(name, species=("Cu", "Zr"), folder=installed, kind="example", **training):
        header = {
            "kind": kind,
            "title": name,
            "summary": "",
            "species": list(species),
            "cutoff": 5.0,
            "descriptor": {},
            "architecture": {},
            "output": {},
            "training": {"samples": [name], **training},
        }
        path = folder / f"{name}.safetensors"
        save_model(path, header, {"some": np.zeros(1)})
        return path

    write.shipped = shipped
    return write


class Known:
    """A model that sees rows which are made up, and has seen others of some mean and spread."""

    def __init__(self, rows, mean=0.0, spread=1.0):
        self.rows = rows
        means, spreads = {"any": np.full(WIDTH, mean)}, {"any": np.full(WIDTH, spread)}
        axes = {"any": np.eye(WIDTH)}
        self.score = ExtrapolationScore(8.0, means, spreads, axes, WIDTH, np.zeros(WIDTH + 3), np.eye(WIDTH + 3))

    @property
    def novelty_key(self):
        return id(self)

    def novelty_blocks(self, structure):
        yield "any", structure.selected, self.rows[structure.selected]


def never(name):
    raise AssertionError(f"{name} was loaded")


def unscored(name):
    """A model that nobody may look into."""
    return


def chosen(structure, models=None, **wanted):
    return choose_model(structure, "example", models.get if models else unscored, wanted).name


def unfamiliarity_of(model, structure):
    return unfamiliarity(model, model.novelty_blocks(structure))


def of_copper(share):
    """Atoms, so many of them copper."""
    kinds = np.where(np.arange(200) < 200 * share, 0, 1)
    return Structure(np.random.default_rng(1).uniform(0, 20, (200, 3)), kinds, ("Cu", "Zr"))


def test_one_model_of_fitting_species_is_taken_unseen(put):
    put("al-sm", ("Al", "Sm"))
    put("cu-zr-al", ("Al", "Cu", "Zr"))
    put("of-another-kind", kind="other")
    choice = choose_model(GLASS, "example", unscored)
    assert (choice.name, choice.scores, choice.unusable) == ("cu-zr-al", {}, ())


def test_the_closest_composition_wins(put):
    put("poor", composition={"Cu": 0.36, "Zr": 0.64})
    put("rich", composition={"Cu": [0.6, 0.7], "Zr": [0.3, 0.4]})
    assert [chosen(of_copper(share)) for share in (0.3, 0.45, 0.55, 0.65, 0.8)] == [
        "poor",
        "poor",
        "rich",
        "rich",
        "rich",
    ]


def test_of_two_models_for_one_glass_the_wanted_one_wins_and_any_is_better_than_none(put):
    put("a-thermal", activation="thermal")
    put("b-shear", activation="shear")
    assert chosen(GLASS, activation="shear") == "b-shear"
    assert chosen(GLASS, activation="thermal") == "a-thermal"
    with pytest.raises(AttributeError):  # several are left, so that they are looked into
        chosen(GLASS, activation="melting")


def test_of_models_of_the_same_data_the_first_is_taken_shipped_ones_before_installed(put):
    put("a", samples=["one", "two"], atoms=10)
    put("b", samples=["one", "two"], atoms=10, folder=put.shipped)
    put("c", samples=["one", "two"], atoms=10, folder=put.shipped)
    assert chosen(GLASS) == "b"
    put("d", samples=["one", "two"], atoms=10, shown="at 300 K")
    with pytest.raises(AttributeError):
        chosen(GLASS)


def test_files_that_are_only_called_alike_are_other_data(put):
    put("a", samples=["one", "two"], atoms=10, data_sha256="ab")
    put("b", samples=["one", "two"], atoms=10, data_sha256="ab")
    assert chosen(GLASS) == "a"
    put("c", samples=["one", "two"], atoms=10, data_sha256="cd")
    with pytest.raises(AttributeError):
        chosen(GLASS)


@pytest.mark.parametrize("shift", [0.0, 3.0, 12.0])
@pytest.mark.parametrize(("spread", "right"), [(1.0, "rest"), (1.3, "hot")])
def test_the_scatter_of_the_atoms_decides_between_states_also_of_another_composition(put, spread, right, shift):
    put("rest")
    put("hot")
    rows = shift + spread * np.random.default_rng(4).normal(size=(len(GLASS), WIDTH))
    models = {"hot": Known(rows, spread=1.3), "rest": Known(rows, spread=1.0)}
    assert chosen(GLASS, models) == right


def test_a_crowd_with_another_mean_is_less_familiar(put):
    rows = np.random.default_rng(4).normal(size=(len(GLASS), WIDTH))
    distances = [unfamiliarity_of(Known(rows, mean=mean), GLASS) for mean in (0.0, 0.5, 2.0, 8.0)]
    assert distances[0] < 0.1
    assert (np.diff(distances) > 0.02).all()


def test_the_score_is_that_of_the_exact_divergence_of_normal_distributions():
    rng = np.random.default_rng(3)
    turn = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0]
    variances = np.array([0.3, 0.6, 1.0, 1.0, 2.0, 4.0])
    rows = (rng.normal(size=(200_000, WIDTH)) * np.sqrt(variances)) @ turn.T
    many = Structure(np.zeros((len(rows), 3)), np.zeros(len(rows), dtype=int), ("Cu",))
    exact = (1 / variances + np.log(variances) - 1).mean() / 2
    assert unfamiliarity_of(Known(rows), many) == pytest.approx(exact, rel=0.02)


def test_the_same_structure_gets_the_same_model_whatever_the_order_of_its_atoms(put):
    put("rest")
    put("hot")
    many = 5000
    rows = np.random.default_rng(2).normal(size=(many, WIDTH)) * 1.02
    order = np.random.default_rng(3).permutation(many)

    def scores(rows):
        structure = Structure(np.zeros((many, 3)), np.arange(many) % 2, ("Cu", "Zr"))
        models = {"rest": Known(rows), "hot": Known(rows, spread=1.3)}
        return choose_model(structure, "example", models.get)

    first, again, shuffled = scores(rows), scores(rows), scores(rows[order])
    assert first.scores == again.scores
    assert first.name == shuffled.name == "rest"


def test_where_no_atom_says_anything_the_first_model_is_taken(put):
    put("b")
    put("a")
    nobody = Structure(np.zeros((0, 3)), np.zeros(0, dtype=int), ("Cu",))
    models = {name: Known(np.zeros((0, WIDTH))) for name in "ab"}
    assert chosen(nobody, models) == "a"


def test_a_broken_file_does_not_stop_the_others_and_is_named(put):
    put("whole")
    broken = put("broken")
    broken.write_bytes(broken.read_bytes()[:50])
    choice = choose_model(GLASS, "example", unscored)
    assert choice.name == "whole"
    (why,) = choice.unusable
    assert "broken.safetensors" in why


def test_a_model_whose_tensors_are_damaged_does_not_stop_the_others(put):
    put("a-fitting-best", composition={"Cu": 0.5, "Zr": 0.5})
    put("other", composition={"Cu": 0.8, "Zr": 0.2})

    def load(name):
        if name == "a-fitting-best":
            raise ModelError(f"{name} is damaged.")

    choice = choose_model(GLASS, "example", load)
    assert (choice.name, choice.unusable) == ("other", ("a-fitting-best is damaged.",))


def test_if_all_are_damaged_one_says_why(put):
    put("only")

    def load(name):
        raise ModelError(f"{name} is damaged.")

    with pytest.raises(ModelError, match="only is damaged"):
        choose_model(GLASS, "example", load)


def test_unknown_species_are_told_what_there_is_and_what_to_do(put):
    put("mine", ("Al", "Sm"))
    put("yours", ("Al", "Sm"))
    put("his", ("Fe",))
    with pytest.raises(ModelError) as refused:
        choose_model(GLASS, "example", never)
    message = str(refused.value)
    for part in ("Cu, Zr", "for Al-Sm mine, yours", "for Fe his", "glassml train example", "glassml models add"):
        assert part in message
    assert message.count(". ") == 0
    with pytest.raises(ModelError, match="none at all"):
        choose_model(GLASS, "nothing", never)


def test_choosing_again_reads_no_files(put, monkeypatch):
    """Frames of a trajectory ask for it one by one, and opening files thousands of times costs time and memory."""
    put("only")
    before = choose_model(GLASS, "example", unscored)
    monkeypatch.setattr(model_file, "safe_open", None)
    assert choose_model(GLASS, "example", unscored) == before


def test_installed_models_are_found_by_name_shipped_ones_first(put, monkeypatch, tmp_path):
    path = put("mine-0.5")
    assert (list_installed(), model_path("mine-0.5")) == (("mine-0.5",), path)
    shipped = put("mine-0.5", folder=put.shipped)
    assert (list_installed(), model_path("mine-0.5")) == ((), shipped)
    put("other")
    with pytest.raises(ModelError, match=r"shipped models: mine-0.5; or of those installed: other\.$"):
        model_path("absent")
    monkeypatch.setenv("GLASSML_MODELS", str(tmp_path / "nowhere"))
    assert list_installed() == ()


@pytest.mark.parametrize(
    ("file", "right"),
    [
        ("stiffness/vibrations-cu50zr50-1e12-1.xyz.gz", "stiffness-cuzr"),
        ("stiffness/snapshots/300K-vibrations-cu50zr50-1e12-1.xyz.gz", "stiffness-cuzr-300k"),
    ],
)
def test_a_glass_at_rest_and_at_300_kelvin_get_their_models(file, right):
    """Kept aside; its snapshot looks like no glass at rest."""
    choice = choose_model(read_snapshot(sample_file(file)).structure, "stiffness", load_model)
    assert choice.name == right
    assert set(choice.scores) == {"stiffness-cuzr", "stiffness-cuzr-300k"}
