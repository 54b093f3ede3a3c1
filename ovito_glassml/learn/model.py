"""What every trained model can do, whatever its method, and how one is found by its file."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.learn.extrapolation import ExtrapolationScore
from ovito_glassml.learn.format import ModelError, ModelHeader, loaded_as, read_header
from ovito_glassml.progress import Progress
from ovito_glassml.structure import Structure

if TYPE_CHECKING:
    from ovito_glassml.descriptors.ace import ACEDescriptors
    from ovito_glassml.learn.averaged_sum import AveragedSum

__all__ = ["ANY_SPECIES", "ActiveSpeciesModel", "LearnedModel", "Prediction", "load_model"]

#: Name of the head of a model that does not look at the atom's own species.
ANY_SPECIES = "any"
#: Kind in the header of a model file → class that reads it.
CLASSES = {
    "stiffness": "ovito_glassml.learn.stiffness.model:StiffnessModel",
    "activity": "ovito_glassml.learn.activity.model:ActivityModel",
    "propensity": "ovito_glassml.learn.propensity.model:PropensityModel",
    "scnn": "ovito_glassml.learn.prototypes.model:ScnnModel",
    "ule": "ovito_glassml.learn.barcode.model:UleModel",
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Prediction:
    """What the predictions of all methods have in common; one value per atom, NaN where none was wanted or possible.

    Attributes
    ----------
    extrapolation : (N,) array
        Distance from the training data; 1 is the 99th percentile of the training atoms.
    sample_extrapolation : float
        The same of the selected atoms as a whole; above 1 they are no sample like those of the training. NaN for models
        that do not know.
    """

    extrapolation: NDArray[np.float64]
    sample_extrapolation: float


class LearnedModel(ABC):
    """A trained model: a frozen dataclass with at least these two fields.

    Attributes
    ----------
    header : ModelHeader
        What the model says about itself.
    score : ExtrapolationScore
        How far structures are from its training data.
    """

    kind: ClassVar[str]
    header: ModelHeader
    score: ExtrapolationScore

    @classmethod
    def load(cls, name_or_path: str | os.PathLike[str]) -> Self:
        """Read a model of this kind.

        Parameters
        ----------
        name_or_path : str or path
            Name of a shipped or installed model, such as ``stiffness-cuzr``, or a file.

        Raises
        ------
        ModelError
            If there is no such model or its file is damaged, of another kind or version.
        """
        return loaded_as(name_or_path, cls.kind, cls.from_tensors)

    @classmethod
    def from_tensors(cls, header: ModelHeader, tensors: Mapping[str, NDArray]) -> Self:
        """Build a model from the content of its file.

        Raises
        ------
        ModelError
            For missing tensors or header entries, and tensors of another shape.
        """
        try:
            return cls._assembled(header, tensors)
        except (LookupError, TypeError) as error:
            raise ModelError(f"The header of the {cls.kind} model lacks {error}; train the model again.") from error

    @classmethod
    @abstractmethod
    def _assembled(cls, header: ModelHeader, tensors: Mapping[str, NDArray]) -> Self: ...

    @abstractmethod
    def tensors(self) -> dict[str, NDArray]:
        """For the model file."""

    @abstractmethod
    def predict(self, structure: Structure, *, progress: Progress | None = None) -> Prediction:
        """Predict for the selected atoms of a structure; all of them count as neighbours.

        Parameters
        ----------
        structure : Structure
            In the length unit of the model. Best at rest: most models are trained on inherent structures.
        progress : callable, optional
            Called with the fraction done; may raise to stop.

        Raises
        ------
        ModelError
            For species that the model does not know.
        StructureError
            For structures without neighbours that can be searched, see `build_cell_list`.
        """

    @abstractmethod
    def novelty_blocks(self, structure: Structure) -> Iterator[tuple[str, NDArray, NDArray]]:
        """Yield (head, atom indices, rows) for the selected atoms with neighbours: what `score` embeds."""

    @property
    def novelty_key(self) -> Hashable:
        """Equal for models whose `novelty_blocks` are equal, which then are computed once."""
        return id(self)

    @property
    def species(self) -> tuple[str, ...]:
        """Names of the species the model knows."""
        return self.header.species

    @property
    def cutoff(self) -> float:
        """Distance up to which an atom's surroundings matter, in the model's length unit."""
        return self.header.cutoff


class ActiveSpeciesModel(LearnedModel):
    """A model of the atoms of one species, by a sum over each atom and what is around it.

    Attributes
    ----------
    linear : AveragedSum
    """

    linear: AveragedSum

    @property
    def descriptor(self) -> ACEDescriptors:
        """By which novelty is judged."""
        return self.linear.descriptor

    @property
    def active_species(self) -> str:
        """The species whose atoms are predicted."""
        return self.header.architecture["active_species"]

    def wanted(self, structure: Structure) -> NDArray[np.bool_]:
        """The selected atoms of the active species."""
        active = structure.of_species(self.active_species)
        return active if structure.mask is None else active & structure.mask

    def novelty_blocks(self, structure: Structure) -> Iterator[tuple[str, NDArray, NDArray]]:
        """See `LearnedModel`; atoms of the active species alone."""
        for indices, rows in self.descriptor.iterate_blocks(replace(structure, mask=self.wanted(structure))):
            caged = rows.any(axis=1)
            yield self.active_species, indices[caged], rows[caged]


def load_model(name_or_path: str | os.PathLike[str]) -> LearnedModel:
    """Read a model of any kind.

    Parameters
    ----------
    name_or_path : str or path
        Name of a shipped or installed model, or a file.

    Returns
    -------
    LearnedModel
        Of the class that its header's kind names.

    Raises
    ------
    ModelError
        If there is no such model, or its file is damaged, of another version, or of a kind that is not known.

    Examples
    --------
    The mean stiffness of a glass in eV/Å², and the share of atoms unlike those that the model was trained on:

    >>> from ovito_glassml.learn.model import load_model
    >>> model = load_model("stiffness-cuzr")
    >>> prediction = model.predict(glass)
    >>> float(round(prediction.stiffness.mean(), 2)), float(round((prediction.extrapolation > 1).mean(), 2))
    (0.81, 0.0)
    """
    kind = read_header(name_or_path).kind
    if kind not in CLASSES:
        raise ModelError(
            f"{name_or_path} is a model of kind {kind!r}, and this package reads {', '.join(CLASSES)}; "
            "install the package version that wrote it."
        )
    module, _, name = CLASSES[kind].partition(":")
    found: Any = getattr(import_module(module), name)
    return found.load(name_or_path)
