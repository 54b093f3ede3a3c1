"""The one file format of all models: tensors and a JSON header in a `.safetensors` file.

Nothing in a model file is executed or unpickled. The header says what the model is, what it was
trained on and how good it is, and can be read without the tensors. A SHA-256 digest covers every
byte of the file, so a damaged or altered model is refused and never gives wrong numbers.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import reprlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_data_path
from safetensors import SafetensorError, safe_open
from safetensors import numpy as safetensors_numpy

import ovito_glassml
from ovito_glassml.errors import GlassMLError
from ovito_glassml.files import write_atomically
from ovito_glassml.learn.units import NOT_STATED
from ovito_glassml.structure import Structure

__all__ = [
    "FORMAT_VERSION",
    "ModelError",
    "ModelHeader",
    "ResultTable",
    "check_length",
    "data_digest",
    "installed_folder",
    "list_installed",
    "list_models",
    "loaded_as",
    "model_path",
    "read_header",
    "read_model",
    "rebuilt",
    "remembered",
    "save_model",
    "take_scale",
    "take_tensor",
]

#: Raised by one whenever older versions of the package could not use newer files.
FORMAT_VERSION = 2
#: The only metadata entry of the file.
METADATA_KEY = "ovito_glassml"
SUFFIX = ".safetensors"
#: Stands in the file where the digest will be while the digest is computed.
BLANK_DIGEST = "0" * 64
#: No model looks further, in its length unit; a damaged length would ask for all the memory there is.
LONGEST_CUTOFF = 100.0
#: Numbers of a header beyond this are damage.
LARGEST_NUMBER = 1e15
Model = TypeVar("Model")
Settings = TypeVar("Settings")
SHIPPED_MODELS = Path(__file__).resolve().parent.parent / "models"
#: Environment variable that names another folder of installed models.
FOLDER_VARIABLE = "GLASSML_MODELS"

#: Stands for the folder of models of a user without a home; nothing is there and nothing can be.
NO_FOLDER = Path(os.devnull, "models")


class ModelError(GlassMLError):
    """A model file cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class ResultTable:
    """A small table of results as it is printed after training and on the card.

    Attributes
    ----------
    title : str
        What the numbers are, with their units.
    columns : tuple of str
        Column headings; the first column names the rows.
    rows : tuple of tuples
        One value a column: text, whole numbers or floating-point numbers.
    note : str
        How to read it; may be empty.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(str(column) for column in self.columns))
        object.__setattr__(self, "rows", tuple(tuple(row) for row in self.rows))
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ModelError(
                f"A row of the table {self.title!r} has not {len(self.columns)} values; fill every column."
            )


@dataclass(frozen=True)
class ModelHeader:
    """What a model file says about itself.

    Attributes
    ----------
    kind : str
        Which estimator reads it, such as ``stiffness``.
    title, summary : str
        One line and one paragraph for people.
    species : tuple of str
        Names the model knows, in its own order.
    length_unit : str
        Unit of all lengths, if it is known.
    cutoff : float
        Distance in `length_unit` up to which the surroundings of an atom matter.
    descriptor : dict
        Settings from which the descriptor is rebuilt. Radial tables are tensors named ``radial.*``.
    architecture : dict
        Layers and widths of the estimator.
    output : dict
        ``property`` and ``unit`` of what it predicts.
    training : dict
        How the training data were made; ``atoms``, ``samples``.
    results : tuple of ResultTable
        Held-out scores.
    limits : tuple of str
        What the model is not good for.
    references : tuple of str
        Publications.
    licence : str
        Of the model file, if it is known.
    package_version, format_version, sha256
        Filled in by `save_model`.
    """

    kind: str
    title: str
    summary: str
    species: tuple[str, ...]
    cutoff: float
    descriptor: dict[str, Any]
    architecture: dict[str, Any]
    output: dict[str, Any]
    training: dict[str, Any]
    results: tuple[ResultTable, ...] = ()
    limits: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    licence: str = NOT_STATED
    length_unit: str = NOT_STATED
    package_version: str = ovito_glassml.__version__
    format_version: int = FORMAT_VERSION
    sha256: str = field(default=BLANK_DIGEST, compare=False)

    def __post_init__(self) -> None:
        _check_types(type(self), vars(self))
        if not self.species or len(set(self.species)) < len(self.species) or not all(self.species):
            raise ModelError(f"The species {self.species} of the model header are empty or repeated; name each once.")
        check_length("cutoff", self.cutoff)
        store = object.__setattr__
        for name in ("species", "limits", "references"):
            store(self, name, tuple(getattr(self, name)))
        tables = [table if isinstance(table, ResultTable) else ResultTable(**table) for table in self.results]
        store(self, "results", tuple(tables))

    @property
    def reach(self) -> str:
        """The cutoff with its unit."""
        unit = "(unit of length not stated)" if self.length_unit == NOT_STATED else self.length_unit
        return f"{self.cutoff:g} {unit}"

    @classmethod
    def from_mapping(cls, entries: Mapping[str, Any]) -> ModelHeader:
        """Header from the entries of the JSON object.

        Raises
        ------
        ModelError
            If an entry is missing, unknown or of another type.
        """
        known = {item.name for item in fields(cls)}
        if unknown := sorted(set(entries) - known):
            raise ModelError(f"The model header has unknown entries ({', '.join(unknown)}); leave them out.")
        try:
            return cls(**entries)
        except TypeError as error:
            raise ModelError(f"The model header is incomplete ({error}); give every entry.") from error

    def check_species(self, names: Iterable[str]) -> None:
        """Refuse species that the model has never seen.

        Raises
        ------
        ModelError
            Naming the strangers and what the model knows.
        """
        strangers = [name for name in names if name not in self.species]
        if strangers:
            raise ModelError(
                f"The model is for {', '.join(self.species)} and the structure contains {', '.join(strangers)}; "
                "choose another model or name the particle types with `species`."
            )

    def check_descriptor(self, species: Sequence[str], reach: float) -> None:
        """Refuse a descriptor that orders the species otherwise or sees another distance than the header says.

        Raises
        ------
        ModelError
            With both.
        """
        if tuple(species) != self.species:
            raise ModelError(
                f"The descriptor is for {', '.join(species)} and the model for {', '.join(self.species)}; "
                "train the model again."
            )
        if abs(reach - self.cutoff) > 1e-6 * self.cutoff:
            raise ModelError(
                f"The descriptor sees {reach:g} far and the header says {self.reach}; train the model again."
            )

    def check_structure(self, structure: Structure) -> None:
        """Refuse a structure with atoms of species that the model has never seen.

        Raises
        ------
        ModelError
            As `check_species`.
        """
        self.check_species(structure.shares)


def data_digest(files: Iterable[Path]) -> str:
    """Of the files' contents: models of the same data are told from those of other files that are called alike."""
    return hashlib.sha256("".join(hashlib.sha256(file.read_bytes()).hexdigest() for file in files).encode()).hexdigest()


def save_model(
    path: str | os.PathLike[str], header: ModelHeader | Mapping[str, Any], tensors: Mapping[str, NDArray]
) -> None:
    """Write a model file; it appears whole or not at all.

    Parameters
    ----------
    path : path
        Ends in ``.safetensors``.
    header : ModelHeader or mapping
        The entries of a `ModelHeader`; versions and digest are filled in.
    tensors : mapping of name to array
        Stored with their dtype and shape.
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        raise ModelError(f"{path.name} does not end in {SUFFIX}; give the model file that ending.")
    entries = asdict(header) if isinstance(header, ModelHeader) else dict(header)
    entries |= {
        "package_version": ovito_glassml.__version__,
        "format_version": FORMAT_VERSION,
        "sha256": BLANK_DIGEST,
    }
    entries = asdict(ModelHeader.from_mapping(entries))
    text = json.dumps(entries, sort_keys=True, ensure_ascii=True, allow_nan=False)
    if text.count(BLANK_DIGEST) != 1:
        raise ModelError(
            "The model header contains sixty-four zeros in a row; they mark the digest, write them otherwise."
        )
    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    blank = safetensors_numpy.save(arrays, metadata={METADATA_KEY: text})
    digest = hashlib.sha256(blank).hexdigest()
    write_atomically(path, blank.replace(BLANK_DIGEST.encode(), digest.encode(), 1))


def read_header(name_or_path: str | os.PathLike[str]) -> ModelHeader:
    """Read what a model says about itself, without its tensors.

    Parameters
    ----------
    name_or_path : str or path
        Name of a shipped or installed model, or a file.

    Returns
    -------
    ModelHeader

    Raises
    ------
    ModelError
        If there is no such model, or the file is truncated, of another format or of a newer version.
    """
    path = model_path(name_or_path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    return _parse_header(path, metadata)


def read_model(name_or_path: str | os.PathLike[str], kind: str) -> tuple[ModelHeader, dict[str, NDArray]]:
    """Read a model and check that it is whole, unaltered and of the wanted kind.

    Parameters
    ----------
    name_or_path : str or path
        Name of a shipped or installed model, or a file.
    kind : str
        What the caller can use, such as ``stiffness``.

    Returns
    -------
    header : ModelHeader
    tensors : dict of name to array

    Raises
    ------
    ModelError
        As `read_header`; also for another kind and where the digest does not fit the file.
    """
    header = read_header(name_or_path)
    path = model_path(name_or_path)
    if header.kind != kind:
        raise ModelError(
            f"{path.name} is a model of kind {header.kind} and one of kind {kind} is needed; choose another."
        )
    content = path.read_bytes()
    digest = header.sha256.encode()
    if len(digest) != len(BLANK_DIGEST) or content.count(digest) != 1:
        raise _damaged(path, "its digest is missing")
    if hashlib.sha256(content.replace(digest, BLANK_DIGEST.encode(), 1)).hexdigest() != header.sha256:
        raise _damaged(path, "its digest does not fit its content")
    try:
        return header, safetensors_numpy.load(content)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:  # such as a dtype that NumPy does not have
        raise _damaged(path, f"its tensors cannot be read: {error}") from error


def loaded_as(
    name_or_path: str | os.PathLike[str], kind: str, build: Callable[[ModelHeader, dict[str, NDArray]], Model]
) -> Model:
    """Read a model and build the estimator from it; what does not fit is one error with the file's name.

    A digest tells damage, but not what somebody wrote on purpose, so the content is not trusted either.

    Parameters
    ----------
    name_or_path : str or path
        Name of a shipped or installed model, or a file.
    kind : str
        As for `read_model`.
    build : callable
        Makes the estimator from header and tensors.

    Raises
    ------
    ModelError
        As `read_model`, and where header and tensors do not make an estimator.
    """
    header, tensors = read_model(name_or_path, kind)
    try:
        return build(header, tensors)
    except GlassMLError as error:
        raise ModelError(f"{model_path(name_or_path).name} cannot be used: {error}") from error
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise ModelError(
            f"{model_path(name_or_path).name} cannot be used: its header and tensors do not fit together "
            f"({type(error).__name__}: {error}); install or train it again."
        ) from error


def rebuilt(settings: type[Settings], entries: Mapping[str, Any]) -> Settings:
    """A dataclass of settings, such as a descriptor, from header entries of the types that it declares.

    All fields that make two descriptors differ must be there: a default could be another than the model was made with.

    Raises
    ------
    ModelError
        If an entry is missing, unknown or of another type.
    """
    needed = {item.name for item in fields(settings) if item.compare}  # type: ignore[arg-type]
    if wrong := sorted(needed ^ set(entries)):
        raise ModelError(f"The settings {_brief(wrong)} of {settings.__name__} are missing or unknown; train it again.")
    _check_types(settings, entries)
    return settings(**{name: tuple(value) if isinstance(value, list) else value for name, value in entries.items()})


def check_length(name: str, value: Any, longest: float = LONGEST_CUTOFF) -> float:
    """A length of a model, such as a cutoff.

    Raises
    ------
    ModelError
        If it is no number above 0 and up to `longest`.
    """
    if not _is_number(value) or not 0 < value <= longest:
        raise ModelError(f"The {name} of the model is {_brief(value)}; it must be above 0 and at most {longest:g}.")
    return float(value)


def take_tensor(
    header: ModelHeader,
    tensors: Mapping[str, NDArray],
    name: str,
    shape: Sequence[int | None],
    kind: str = "f",
) -> NDArray:
    """A tensor that a model must have, with its shape and type checked.

    Parameters
    ----------
    header : ModelHeader
        Of the model, for the message.
    tensors : mapping
        What `read_model` returned.
    name : str
        The tensor.
    shape : sequence of int or None
        Lengths of the axes; None accepts any.
    kind : {'f', 'iu'}
        Floating-point numbers in single or double precision (default), or integers.

    Raises
    ------
    ModelError
        If the tensor is missing, of another shape or type, or not finite.
    """
    if name not in tensors:
        raise ModelError(f"The {header.kind} model lacks the tensor {name}; train the model again.")
    array = tensors[name]
    wanted = tuple(shape)
    if len(array.shape) != len(wanted) or any(n not in (None, m) for n, m in zip(wanted, array.shape, strict=True)):
        expected = " x ".join("any" if length is None else str(length) for length in wanted)
        raise ModelError(
            f"The tensor {name} of the {header.kind} model has shape {array.shape}, expected {expected}; "
            "train the model again."
        )
    if array.dtype.kind not in kind or (kind == "f" and array.dtype.itemsize < 4):
        wanted_kind = "float32 or float64" if kind == "f" else "integers"
        raise ModelError(
            f"The tensor {name} of the {header.kind} model has type {array.dtype}, expected {wanted_kind}; "
            "train the model again."
        )
    if not np.isfinite(array).all():
        raise ModelError(f"The tensor {name} of the {header.kind} model is not finite; train the model again.")
    return array


def take_scale(header: ModelHeader, tensors: Mapping[str, NDArray], name: str, shape: Sequence[int | None]) -> NDArray:
    """As `take_tensor`, for numbers that others are divided by.

    Raises
    ------
    ModelError
        As `take_tensor`, and where a number is not above 0.
    """
    array = take_tensor(header, tensors, name, shape)
    if not (array > 0).all():
        raise ModelError(f"The tensor {name} of the {header.kind} model is not positive; train the model again.")
    return array


def model_path(name_or_path: str | os.PathLike[str]) -> Path:
    """File of a shipped or installed model, given by name, or of any other, given by path.

    Raises
    ------
    ModelError
        If there is no such model; the message lists those there are.
    """
    given = Path(name_or_path)
    if given.name == str(name_or_path) and given.suffix != SUFFIX:
        for folder in (SHIPPED_MODELS, installed_folder()):
            named = folder / f"{name_or_path}{SUFFIX}"
            if named.is_file():
                return named
    if given.is_file():
        return given
    installed = list_installed()
    raise ModelError(
        f"There is no model {str(name_or_path)!r}; give the path of a {SUFFIX} file or one of the shipped models: "
        f"{', '.join(list_models()) or 'none'}{'; or of those installed: ' if installed else ''}{', '.join(installed)}."
    )


def remembered(load: Callable[[Path], Model], count: int = 8) -> Callable[[str], Model]:
    """A function that loads models by name or path, again only if there is another file at that place now.

    Parameters
    ----------
    load : callable
        Reads a model from its path.
    count : int
        Models kept in memory, those used last; a pipeline holds few.
    """
    kept = OrderedDict[tuple[object, ...], Model]()

    def loaded(name_or_path: str) -> Model:
        path = model_path(name_or_path)
        identity = _identity(path)
        model = kept.pop(identity, None)
        if model is None:
            model = load(path)
            if _identity(path) != identity:  # replaced meanwhile: which of the two was read?
                return loaded(name_or_path)
        kept[identity] = model
        while len(kept) > count:
            kept.popitem(last=False)
        return model

    return loaded


def _identity(path: Path) -> tuple[object, ...]:
    """What differs between any two model files, in a tenth of a millisecond.

    Neither name nor time nor size need differ, but the header does, as it holds the digest of the whole file; and the
    time of the last change, which nobody can set, where a file was altered and its header was not.
    """
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        length = int.from_bytes(file.read(8), "little")
        header = hashlib.sha256(file.read(min(length, status.st_size))).hexdigest()
    stamps = status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
    return path.resolve(), header, *stamps


def list_models() -> tuple[str, ...]:
    """Names of the shipped models, sorted."""
    return _names_in(SHIPPED_MODELS)


def list_installed() -> tuple[str, ...]:
    """Names of the user's models in `installed_folder`, sorted; one that is called as a shipped model is not found."""
    return tuple(name for name in _names_in(installed_folder()) if not (SHIPPED_MODELS / f"{name}{SUFFIX}").is_file())


def installed_folder() -> Path:
    """Where the user's own models are found by name: the folder in ``GLASSML_MODELS``, or one for data of this user.

    Where the system does not know a home of this user, as in a container, it is a place where no folder can be.
    """
    chosen = os.environ.get(FOLDER_VARIABLE)
    try:
        folder = Path(chosen).expanduser() if chosen else user_data_path("ovito-glassml", appauthor=False) / "models"
    except RuntimeError:
        return NO_FOLDER
    return folder if chosen or folder.is_absolute() else NO_FOLDER


def _names_in(folder: Path) -> tuple[str, ...]:
    try:
        names = os.listdir(folder)
    except OSError:  # no folder, or none that may be read
        return ()
    return tuple(sorted(name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX) and name[0] != "."))


def _parse_header(path: Path, metadata: Mapping[str, str]) -> ModelHeader:
    if METADATA_KEY not in metadata:
        raise ModelError(f"{path.name} is a .safetensors file but no model of this package; choose another file.")
    try:
        entries = json.loads(metadata[METADATA_KEY], parse_constant=_number, parse_float=_number, parse_int=_number)
        json.dumps(entries, ensure_ascii=False).encode()  # refuses what no terminal can print
        version = entries["format_version"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(path, f"its header cannot be read: {error}") from error
    if type(version) is not int or version != FORMAT_VERSION:
        raise ModelError(
            f"{path.name} has model format {_brief(version)} and this package reads format {FORMAT_VERSION}; "
            "install the package version that wrote it or train the model again."
        )
    try:
        return ModelHeader.from_mapping(entries)
    except (ModelError, TypeError) as error:
        raise _damaged(path, f"its header cannot be read: {error}") from error


def _number(text: str) -> float | int:
    """A number of the header; ``NaN``, ``Infinity`` and absurd ones are none."""
    value = float(text)
    if not (math.isfinite(value) and abs(value) <= LARGEST_NUMBER):
        raise ValueError(f"{text[:20]} is no usable number")
    return int(text) if text.lstrip("-").isdigit() else value


def _check_types(owner: type, entries: Mapping[str, Any]) -> None:
    """Refuse entries whose types are not those that a dataclass declares; lists stand for tuples in JSON."""
    for item in fields(owner):
        kinds = str(item.type).split(" | ")
        if item.name in entries and not any(_IS_A.get(kind, _is_any)(entries[item.name]) for kind in kinds):
            found = _brief(entries[item.name])
            raise ModelError(f"The entry {item.name} of the model header is {found}; it must be {item.type}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_any(value: Any) -> bool:
    return True


#: Whether a value is what an annotation says.
_IS_A: dict[str, Callable[[Any], bool]] = {
    "None": lambda value: value is None,
    "bool": lambda value: isinstance(value, bool),
    "int": lambda value: isinstance(value, Integral) and not isinstance(value, bool),
    "float": _is_number,
    "str": lambda value: isinstance(value, str),
    "dict[str, Any]": lambda value: isinstance(value, Mapping),
    "tuple[str, ...]": lambda value: isinstance(value, list | tuple) and all(isinstance(entry, str) for entry in value),
    "tuple[ResultTable, ...]": lambda value: (
        isinstance(value, list | tuple) and all(isinstance(entry, ResultTable | Mapping) for entry in value)
    ),
}


def _brief(value: Any) -> str:
    return reprlib.repr(value)


def _damaged(path: Path, why: str) -> ModelError:
    return ModelError(
        f"{path.name} is truncated, altered or no model file ({why.rstrip('.')}); install or train it again."
    )
