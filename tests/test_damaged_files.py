"""Files that are truncated, altered or made up: one clear error, or the numbers of the whole file; nothing else."""

import copy
import gzip
import hashlib
import io
import json
import os
import pickle
import re
import zipfile

import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

from ovito_glassml import RDFDescriptorsModifier
from ovito_glassml.adapter.files import FileError, annotate, check_rows, read_columns
from ovito_glassml.batch import annotate_in_ranges
from ovito_glassml.errors import GlassMLError, SimulationError
from ovito_glassml.learn.activity.model import ActivityModel
from ovito_glassml.learn.barcode.model import UleModel
from ovito_glassml.learn.format import (
    BLANK_DIGEST,
    FORMAT_VERSION,
    METADATA_KEY,
    ModelError,
    list_models,
    model_path,
    read_header,
    read_model,
)
from ovito_glassml.learn.propensity.model import PropensityModel
from ovito_glassml.learn.prototypes.model import ScnnModel
from ovito_glassml.learn.stiffness.model import StiffnessModel
from ovito_glassml.simulate.snapshots import Snapshot, provenance, read_frames, write_frames
from ovito_glassml.structure import Structure

#: What the modifiers load models with.
ESTIMATORS = {
    "stiffness": StiffnessModel,
    "activity": ActivityModel,
    "propensity": PropensityModel,
    "scnn": ScnnModel,
    "ule": UleModel,
}
NAN, INFINITY = float("nan"), float("inf")
#: What an entry of a header may be replaced by; `REMOVED` takes it away.
REMOVED = object()
REPLACEMENTS = (REMOVED, None, "text", -1, 10**18, INFINITY, NAN, [], {}, True, "\ud800", [[[1]]])


def glass(species):
    """Fifty-four atoms, none at rest, of the species of a model."""
    rng = np.random.default_rng(4)
    corners = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    positions = 3.2 * (np.concatenate([corners, corners + 0.5]) + rng.uniform(-0.1, 0.1, (54, 3)))
    return Structure(positions, np.arange(54) % len(species), species, np.eye(3) * 9.6, pbc=(True, True, True))


def predicted(model, species):
    """All numbers a model says of a small glass, as bytes."""
    prediction = model.predict(glass(species))
    return [np.asarray(value).tobytes() for value in vars(prediction).values()]


@pytest.fixture(scope="module")
def whole():
    """Function: kind, header entries, tensors and prediction of a shipped model."""
    known = {}

    def read(name):
        if name not in known:
            header, tensors = read_model(name, read_header(name).kind)
            text = safetensors_metadata(model_path(name).read_bytes())
            prediction = predicted(ESTIMATORS[header.kind].load(name), header.species)
            known[name] = header.kind, json.loads(text), tensors, (header.species, prediction)
        return known[name]

    return read


def safetensors_metadata(content):
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length])["__metadata__"][METADATA_KEY]


def sealed(entries, tensors):
    """A model file with a digest that fits, whatever else is in it."""
    digest = entries.get("sha256")
    is_whole = isinstance(digest, str) and len(digest) == len(BLANK_DIGEST)
    text = json.dumps(entries | {"sha256": BLANK_DIGEST} if is_whole else entries)
    blank = safetensors_numpy.save(tensors, metadata={METADATA_KEY: text})
    return blank.replace(BLANK_DIGEST.encode(), hashlib.sha256(blank).hexdigest().encode(), 1)


def refused(path, kind, expected=None):
    """Whether the file is refused in one sentence that names it; if not, it must say what the whole file says."""
    sentence, model = "", None
    try:
        model = ESTIMATORS[kind].load(path)
    except ModelError as error:
        sentence = str(error)
    if model is None:
        assert path.name in sentence
        assert "\n" not in sentence
        return True
    if expected is not None:
        species, prediction = expected
        assert predicted(model, species) == prediction, "a number that is not that of the whole file"
    return False


@pytest.fixture
def file(tmp_path):
    return tmp_path / "damaged.safetensors"


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize("tenth", range(10))
def test_a_truncated_model_is_refused(whole, file, name, tenth):
    content = model_path(name).read_bytes()
    file.write_bytes(content[: len(content) * tenth // 10])
    assert refused(file, whole(name)[0])


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize("seed", range(20))
def test_a_model_with_a_flipped_byte_is_refused(whole, file, name, seed):
    """Even seeds damage the header, odd ones any place, which is nearly always a tensor."""
    rng = np.random.default_rng(seed)
    content = bytearray(model_path(name).read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    content[rng.integers(len(content) if seed % 2 else header)] ^= 1 << rng.integers(8)
    file.write_bytes(content)
    assert refused(file, whole(name)[0])


def one_of_each():
    """A model of each kind, and of those that do not tell species apart."""
    headers = {name: read_header(name) for name in list_models()}
    return {(header.kind, header.descriptor.get("partial", ()) is None): name for name, header in headers.items()}


def entry_paths(name):
    """Places of all header entries, those of the descriptor and the estimator one by one."""
    header = read_header(name)
    paths = [(key,) for key in header.__dataclass_fields__]
    return paths + [(part, key) for part in ("descriptor", "architecture") for key in getattr(header, part)]


WALK = [(name, place) for name in one_of_each().values() for place in entry_paths(name)]


@pytest.mark.parametrize(("name", "place"), WALK, ids=[".".join((name, *place)) for name, place in WALK])
def test_a_header_with_an_altered_entry_is_refused_or_means_the_same(whole, file, name, place):
    """The digest fits: somebody has rewritten the file. Texts for people may change, nothing that numbers come from."""
    kind, entries, tensors, prediction = whole(name)
    for replacement in REPLACEMENTS:
        altered = copy.deepcopy(entries)
        parent = altered
        for key in place[:-1]:
            parent = parent[key]
        if parent[place[-1]] is replacement:
            continue
        if replacement is REMOVED:
            del parent[place[-1]]
        else:
            parent[place[-1]] = replacement
        file.write_bytes(sealed(altered, tensors))
        if refused(file, kind, prediction):
            continue
        assert place[0] not in {"kind", "species", "cutoff", "descriptor", "format_version", "sha256"}, replacement


ALTERATIONS = {
    "another kind": lambda header: header.update(kind="another"),
    "a newer format": lambda header: header.update(format_version=FORMAT_VERSION + 1),
    "a version that only equals": lambda header: header.update(format_version=float(FORMAT_VERSION)),
    "an unknown entry": lambda header: header.update(colour="red"),
    "unknown settings": lambda header: header["descriptor"].update(colour="red"),
    "a species twice": lambda header: header.update(species=header["species"][:1] * 2),
    "species as one text": lambda header: header.update(species="".join(header["species"])),
    "a negative cutoff": lambda header: header.update(cutoff=-header["cutoff"]),
    "another cutoff": lambda header: header.update(cutoff=1.01 * header["cutoff"]),
    "a huge cutoff": lambda header: header.update(cutoff=1e9),
    "a huge region": lambda header: header["architecture"].update(extrapolation_radius=1e9),
    "a digest of the wrong length": lambda header: header.update(sha256="0"),
    "an absurd whole number": lambda header: header["training"].update(atoms=10**400),
}


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_a_rewritten_header_is_refused(whole, file, name, alteration):
    kind, entries, tensors, _ = whole(name)
    altered = copy.deepcopy(entries)
    ALTERATIONS[alteration](altered)
    file.write_bytes(sealed(altered, tensors))
    assert refused(file, kind)


def poisoned(value):
    def change(array):
        array = array.astype(np.result_type(array, np.float32))  # integers could not hold it
        array.reshape(-1)[array.size // 2] = value
        return array

    return change


TENSORS = {
    "not a number": poisoned(NAN),
    "infinity": poisoned(INFINITY),
    "an axis more": lambda array: array[..., None],
    "an element less": lambda array: array.reshape(-1)[:-1],
    "no element": lambda array: array.reshape(-1)[:0],
    "half precision": lambda array: np.clip(array, -1e4, 1e4).astype(np.float16),
    "whole for real numbers": lambda array: array.astype(np.int64 if array.dtype.kind == "f" else np.float64),
    "truth values": lambda array: array.astype(bool),
}


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize("alteration", [*TENSORS, "missing"])
def test_a_rewritten_tensor_is_refused(whole, file, name, alteration):
    """Every tensor of the model in turn, with a digest that fits."""
    kind, entries, tensors, _ = whole(name)
    for key, array in tensors.items():
        altered = dict(tensors)
        if alteration == "missing":
            del altered[key]
        else:
            altered[key] = np.ascontiguousarray(TENSORS[alteration](array))
        file.write_bytes(sealed(entries, altered))
        assert refused(file, kind), key


@pytest.mark.parametrize("name", list_models())
def test_numbers_that_others_are_divided_by_are_positive(whole, file, name):
    kind, entries, tensors, _ = whole(name)
    divisors = [key for key in tensors if key.endswith(("scale", "spread"))]
    assert divisors
    for key in divisors:
        for value in (0, -1):
            file.write_bytes(sealed(entries, tensors | {key: poisoned(value)(tensors[key])}))
            assert refused(file, kind), key


@pytest.mark.parametrize("seed", range(10))
def test_random_bytes_are_no_model(file, seed):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 5000))
    body = rng.bytes(size)
    # Half of them begin with a length that a header of this file could have.
    file.write_bytes(body if seed % 2 else (size // 2).to_bytes(8, "little") + body)
    assert all(refused(file, kind) for kind in ESTIMATORS)


def archive():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.writestr("data.pkl", pickle.dumps({"weights": 1}))
    return buffer.getvalue()


def raw_file(header, size=0):
    """A file with a header that is not written by any library."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(size)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(archive(), id="zip"),
        pytest.param(b"{}", id="json"),
        pytest.param((2**63).to_bytes(8, "little") + b"{}", id="huge header"),
        pytest.param((2**26).to_bytes(8, "little") + b"{}", id="header longer than the file"),
        pytest.param(raw_file(b"[" * 100_000), id="deep header"),
        pytest.param(raw_file({"a": {"dtype": "F64", "shape": [2**40], "data_offsets": [0, 8]}}, 8), id="huge tensor"),
        pytest.param(raw_file({"a": {"dtype": "F64", "shape": [2**62], "data_offsets": [0, 0]}}), id="huge shape"),
        pytest.param(raw_file({"a": {"dtype": "X1", "shape": [1], "data_offsets": [0, 8]}}, 8), id="unknown dtype"),
        pytest.param(raw_file({"__metadata__": {METADATA_KEY: "[" * 100_000}}), id="deep metadata"),
        pytest.param(raw_file({"__metadata__": {METADATA_KEY: "7"}}), id="number for a header"),
        pytest.param(raw_file({"__metadata__": {METADATA_KEY: "[1]"}}), id="list for a header"),
        pytest.param(raw_file({"__metadata__": {METADATA_KEY: "{}"}}), id="nothing for a header"),
        pytest.param(raw_file({"__metadata__": {METADATA_KEY: "null"}}), id="null for a header"),
    ],
)
def test_another_file_is_no_model(file, content):
    file.write_bytes(content)
    assert all(refused(file, kind) for kind in ESTIMATORS)


def test_a_folder_is_no_model(file):
    file.mkdir()
    assert all(refused(file, kind) for kind in ESTIMATORS)


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "BOOL", "C64"])
def test_a_tensor_of_an_unusable_type_is_refused(whole, file, dtype):
    """The library reads types that NumPy has not."""
    kind, entries, _, _ = whole(list_models()[0])
    size = {"BF16": 2, "C64": 8}.get(dtype, 1)
    header = {"__metadata__": {METADATA_KEY: json.dumps(entries | {"sha256": BLANK_DIGEST})}}
    header["classifier.shift"] = {"dtype": dtype, "shape": [1], "data_offsets": [0, size]}
    blank = raw_file(header, size)
    file.write_bytes(blank.replace(BLANK_DIGEST.encode(), hashlib.sha256(blank).hexdigest().encode()))
    assert refused(file, kind)


class Payload:
    """What would create a file if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("form", ["pickle", "numpy", "zip", "tensor", "header"])
def test_a_model_file_runs_no_code(whole, file, tmp_path, kind, form):
    """The same payload does its work when it is unpickled, so the test can fail."""
    mark = tmp_path / "was-here"
    payload = pickle.dumps(Payload(mark))
    _, entries, tensors, _ = whole(list_models()[0])
    buffer = io.BytesIO()
    np.save(buffer, np.array([Payload(mark)], dtype=object), allow_pickle=True)
    packed = io.BytesIO()
    np.savez(packed, a=np.array([Payload(mark)], dtype=object))
    contents = {
        "pickle": payload,
        "numpy": buffer.getvalue(),
        "zip": packed.getvalue(),
        "tensor": sealed(entries, dict.fromkeys(tensors, np.frombuffer(payload, dtype=np.uint8))),
        "header": sealed(entries | {"kind": payload.decode("latin-1")}, tensors),
    }
    file.write_bytes(contents[form])
    assert refused(file, kind)
    assert not mark.exists()
    pickle.loads(payload)
    assert mark.exists()


# Structure files. What OVITO reads is computed by a cheap modifier, as `glassml apply` does.

COUNT = 30
_RNG = np.random.default_rng(1)
POSITIONS = _RNG.uniform(0, 12, (COUNT, 3))
KINDS = np.sort(_RNG.integers(1, 3, COUNT))
ROWS = [" ".join(f"{value:.5f}" for value in row) for row in POSITIONS]


def numbered_rows():
    return "".join(f"{number} {kind} {row}\n" for number, (kind, row) in enumerate(zip(KINDS, ROWS, strict=True), 1))


def extended_xyz():
    rows = "".join(f"{('Cu', 'Zr')[kind - 1]} {row}\n" for kind, row in zip(KINDS, ROWS, strict=True))
    return f'{COUNT}\nLattice="12 0 0 0 12 0 0 0 12" pbc="T T T" Properties=species:S:1:pos:R:3\n{rows}'


def lammps_dump():
    cell = "0 12\n" * 3
    return (
        f"ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n{COUNT}\nITEM: BOX BOUNDS pp pp pp\n{cell}"
        f"ITEM: ATOMS id type x y z\n{numbered_rows()}"
    )


def lammps_data():
    cell = "".join(f"0 12 {axis}lo {axis}hi\n" for axis in "xyz")
    return f"LAMMPS data\n\n{COUNT} atoms\n2 atom types\n\n{cell}\nAtoms # atomic\n\n{numbered_rows()}"


def poscar():
    counts = f"{(KINDS == 1).sum()} {(KINDS == 2).sum()}"
    return f"Glass\n1.0\n12 0 0\n0 12 0\n0 0 12\nCu Zr\n{counts}\nCartesian\n" + "\n".join(ROWS) + "\n"


FORMATS = {"xyz": extended_xyz(), "dump": lammps_dump(), "data": lammps_data(), "vasp": poscar()}
#: Where each format says how many atoms there are, and its cell.
COUNTS = {"xyz": "30\n", "dump": "ATOMS\n30\n", "data": "30 atoms", "vasp": f"{(KINDS == 1).sum()} "}
CELLS = {
    "xyz": 'Lattice="12 0 0 0 12 0 0 0 12"',
    "dump": "ITEM: BOX BOUNDS pp pp pp\n0 12\n0 12\n0 12\n",
    "data": "0 12 xlo xhi\n0 12 ylo yhi\n0 12 zlo zhi\n",
    "vasp": "12 0 0\n0 12 0\n0 0 12\n",
}


def computed_rows(path):
    """Descriptor rows of every frame, as `glassml apply` computes them."""
    rows = []
    annotate(
        [path],
        [RDFDescriptorsModifier()],
        path.with_name("out.dump"),
        on_frame=lambda done, total, data: rows.append(np.array(data.particles["RDF Descriptors"])),
    )
    return rows


def refused_structure(path):
    """Whether the file is refused in one sentence that names it, and nothing is written."""
    with pytest.raises(GlassMLError) as caught:
        computed_rows(path)
    sentence = str(caught.value)
    assert path.name in sentence
    assert sentence.isprintable()
    assert not path.with_name("out.dump").exists()


@pytest.mark.parametrize("style", FORMATS)
def test_the_undamaged_file_is_computed(tmp_path, style):
    """So that the refusals below are those of the damage; packed or not makes no difference."""
    path, packed = tmp_path / f"glass.{style}", tmp_path / f"packed.{style}.gz"
    path.write_text(FORMATS[style])
    packed.write_bytes(gzip.compress(FORMATS[style].encode()))
    plain = computed_rows(path)
    assert [len(rows) for rows in plain] == [COUNT]
    np.testing.assert_array_equal(computed_rows(packed), plain)


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("tenth", range(10))
def test_a_truncated_structure_is_refused(tmp_path, style, tenth):
    content = FORMATS[style]
    path = tmp_path / f"glass.{style}"
    path.write_text(content[: len(content) * tenth // 10])
    refused_structure(path)


@pytest.mark.parametrize("style", FORMATS)
def test_a_structure_without_its_last_atoms_is_refused(tmp_path, style):
    """Cut between lines, where every line that is left is whole."""
    lines = FORMATS[style].splitlines(keepends=True)
    for missing in (1, 2, 15):
        path = tmp_path / f"glass{missing}.{style}"
        path.write_text("".join(lines[:-missing]))
        refused_structure(path)


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("tenth", range(1, 10))
def test_a_truncated_packed_structure_is_refused(tmp_path, style, tenth):
    packed = gzip.compress(FORMATS[style].encode())
    path = tmp_path / f"glass.{style}.gz"
    path.write_bytes(packed[: len(packed) * tenth // 10])
    refused_structure(path)


@pytest.mark.parametrize("style", FORMATS)
def test_a_packed_structure_with_a_flipped_bit_is_refused(tmp_path, style):
    packed = gzip.compress(FORMATS[style].encode(), mtime=0)
    for place in (len(packed) // 2, len(packed) - 6):  # the second is in the checksum
        damaged = bytearray(packed)
        damaged[place] ^= 0x10
        path = tmp_path / f"glass{place}.{style}.gz"
        path.write_bytes(damaged)
        refused_structure(path)


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("change", ["31", "29", "-30", "3000000000000", "thirty", "nan", ""])
def test_a_wrong_number_of_atoms_is_refused(tmp_path, style, change):
    text = COUNTS[style]
    number = re.search(r"\d+", text)[0]
    wrong = {"31": str(int(number) + 1), "29": str(int(number) - 1)}.get(change, change)
    path = tmp_path / f"glass.{style}"
    path.write_text(FORMATS[style].replace(text, text.replace(number, wrong), 1))
    refused_structure(path)


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("value", ["nan", "inf", "1e400", "abc", ""])
def test_a_coordinate_that_is_no_number_is_refused(tmp_path, style, value):
    content = FORMATS[style].replace(ROWS[3], ROWS[3].replace(ROWS[3].split()[1], value))
    assert content != FORMATS[style]
    path = tmp_path / f"glass.{style}"
    path.write_text(content)
    refused_structure(path)


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("change", ["missing", "nan", "0", "-", "text"])
def test_an_unusable_cell_is_refused(tmp_path, style, change):
    cell = CELLS[style]
    altered = {"missing": "", "-": cell.replace("12", "--")}.get(change, cell.replace("12", change))
    path = tmp_path / f"glass.{style}"
    path.write_text(FORMATS[style].replace(cell, altered, 1))
    refused_structure(path)


@pytest.mark.parametrize("style", FORMATS)
def test_missing_columns_are_refused(tmp_path, style):
    content = FORMATS[style]
    for number, row in enumerate(ROWS):
        content = content.replace(row, " ".join(row.split()[:2]) if number else row)
    path = tmp_path / f"glass.{style}"
    path.write_text(content)
    refused_structure(path)


@pytest.mark.parametrize("style", [*FORMATS, "gz", "cfg", "gsd", "nc"])
@pytest.mark.parametrize("seed", range(3))
def test_random_bytes_are_no_structure(tmp_path, style, seed):
    path = tmp_path / f"noise.{style}"
    path.write_bytes(np.random.default_rng(seed).bytes(2000))
    refused_structure(path)


@pytest.mark.parametrize("style", ["xyz", "dump"])
def test_of_a_trajectory_that_breaks_off_whole_frames_are_computed(tmp_path, style):
    """As from a simulation that is still running; OVITO says so on the terminal."""
    path, alone = tmp_path / f"running.{style}", tmp_path / f"whole.{style}"
    frame = FORMATS[style]
    alone.write_text(frame)
    path.write_text(frame + frame[: len(frame) * 6 // 10])
    np.testing.assert_array_equal(computed_rows(path), computed_rows(alone))


@pytest.mark.parametrize("packed", [False, True])
def test_a_later_frame_with_more_atoms_than_counted_is_refused(tmp_path, packed):
    """OVITO would read what is counted, and no frame after it."""
    frame = FORMATS["dump"]
    content = frame + frame.replace("ATOMS\n30\n", "ATOMS\n28\n", 1) + frame
    path = tmp_path / ("long.dump.gz" if packed else "long.dump")
    path.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    with pytest.raises(FileError, match=r"more atoms than its headers count \(line 77\)"):
        computed_rows(path)
    with pytest.raises(FileError, match="more atoms than its headers count"):
        next(read_columns(path, (), species="Cu,Zr"))
    with pytest.raises(FileError, match="more atoms than its headers count"):
        annotate_in_ranges([path], [RDFDescriptorsModifier()], tmp_path / "out.xyz")


@pytest.mark.parametrize("after", ["\n", "\n\n", "\n0.1 0.2 0.3\n" * 3, "Cartesian\n" + "0.1 0.2 0.3\n" * COUNT])
def test_what_may_follow_the_atoms_of_a_poscar_file_is_no_surplus(tmp_path, after):
    path = tmp_path / "POSCAR"
    path.write_text(FORMATS["vasp"].replace("Cartesian", "Selective dynamics\nCartesian") + after)
    check_rows(path)


def test_all_that_a_whole_file_may_hold_passes(tmp_path):
    """Blank lines at the end, several frames, further sections, files of other formats."""
    xyz, dump, data = FORMATS["xyz"], FORMATS["dump"], FORMATS["data"]
    velocities = "\nVelocities\n\n" + "".join(f"{number} 0 0 0\n" for number in range(1, COUNT + 1))
    contents = {
        "three.xyz": xyz * 3 + "\n\n",
        "three.dump": dump * 3 + "\n",
        "more.data": data + velocities,
        "other.cfg": "Number of particles = 1\n",
        "empty.xyz": "",
        "no-end.dump": dump.rstrip("\n"),
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
        check_rows(tmp_path / name)


# Simulation snapshots.


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    """Bytes and text of a file of two frames."""
    file = tmp_path_factory.mktemp("snapshot") / "whole.xyz.gz"
    structure = Structure(POSITIONS, KINDS - 1, ("Cu", "Zr"), np.eye(3) * 12, pbc=(True, True, True))
    frame = Snapshot(structure, {"Stiffness": np.arange(COUNT) / 7}, provenance("test", {"seed": 3}))
    write_frames(file, [frame, frame])
    return file.read_bytes(), gzip.decompress(file.read_bytes()).decode()


def refused_snapshot(path):
    with pytest.raises(SimulationError) as caught:
        read_frames(path)
    assert path.name in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("tenth", range(10))
def test_a_truncated_snapshot_is_refused(snapshot, tmp_path, tenth):
    path = tmp_path / "damaged.xyz.gz"
    for content in snapshot[0], snapshot[1].encode():
        part = content[: len(content) * tenth // 10]
        path.write_bytes(part if content is snapshot[0] else gzip.compress(part))
        if not (content is not snapshot[0] and tenth == 5):  # exactly one of two equal frames
            refused_snapshot(path)


@pytest.mark.parametrize("seed", range(20))
def test_a_snapshot_with_a_flipped_bit_is_refused_or_the_same(snapshot, tmp_path, seed):
    """Flips in what gzip does not use, such as the time in its header, change nothing."""
    rng = np.random.default_rng(seed)
    damaged = bytearray(snapshot[0])
    damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
    path, whole = tmp_path / "damaged.xyz.gz", tmp_path / "whole.xyz.gz"
    path.write_bytes(damaged)
    whole.write_bytes(snapshot[0])
    try:
        frames = read_frames(path)
    except SimulationError:
        return
    for frame, expected in zip(frames, read_frames(whole), strict=True):
        np.testing.assert_array_equal(frame.structure.positions, expected.structure.positions)
        np.testing.assert_array_equal(frame.columns["Stiffness"], expected.columns["Stiffness"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("30\n", "29\n"),
        ("30\n", "31\n"),
        ("30\n", "-30\n"),
        ("30\n", "-2\n"),
        ("30\n", "0\n"),
        ("30\n", "3000000000000\n"),
        ("30\n", "9" * 5000 + "\n"),
        ("30\n", "thirty\n"),
        ('Lattice="12.00000000 ', 'Lattice="nan '),
        ('Lattice="12.00000000 ', 'Lattice="inf '),
        ('Lattice="12.00000000 ', 'Lattice="0 '),
        ('Lattice="12.00000000 ', 'Lattice="'),
        ("Lattice=", "Lattuce="),
        ('Origin="0.00000000 ', 'Origin="nan '),
        ('Origin="0.00000000 ', 'Origin="'),
        ("Origin=", "Origen="),
        ('pbc="T T T"', 'pbc="T T"'),
        ('pbc="T T T"', 'pbc="T T 7"'),
        ("pbc=", "pcb="),
        ("Properties=", "Properteis="),
        ("pos:R:3", "pos:R:2:more:R:1"),
        ("pos:R:3", "pos:X:3"),
        ("pos:R:3", "pos:R:-3"),
        ("pos:R:3", "pos:R:three"),
        ("pos:R:3", "pos:R"),
        ("pos:R:3", "position:R:3"),
        ("id:I:1", "number:I:1"),
        ("species:S:1", "element:S:1"),
        ("Cu", "nan nan"),
        (ROWS[3], ROWS[3].replace(ROWS[3].split()[1], "nan")),
        (ROWS[3], ROWS[3].replace(ROWS[3].split()[1], "abc")),
        (ROWS[3], " ".join(ROWS[3].split()[:2])),
    ],
)
def test_an_altered_snapshot_is_refused(snapshot, tmp_path, old, new):
    content = snapshot[1].replace(old, new, 1)
    assert content != snapshot[1]
    path = tmp_path / "damaged.xyz.gz"
    path.write_bytes(gzip.compress(content.encode()))
    refused_snapshot(path)


NO_SNAPSHOTS = {
    "empty": b"",
    "text": b"text",
    "packed nothing": gzip.compress(b"", mtime=0),
    "packed bytes": gzip.compress(b"\xff\xfe", mtime=0),
    "zip": archive(),
} | {f"{count} random bytes": _RNG.bytes(count) for count in (1, 30, 900)}


@pytest.mark.parametrize("content", NO_SNAPSHOTS.values(), ids=NO_SNAPSHOTS)
def test_another_file_is_no_snapshot(tmp_path, content):
    path = tmp_path / "damaged.xyz.gz"
    path.write_bytes(content)
    refused_snapshot(path)
