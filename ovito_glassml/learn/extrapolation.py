"""How far an atom is from anything that a model has been trained on.

Single atoms of a liquid and of a glass look alike; regions do not. So the descriptor rows are
reduced to their principal components, averaged over the atoms around, and compared with the
averages found in the training data (Mahalanobis distance). An average also holds the composition
of the region, and how unusual its single atoms are: in what varies most among the training atoms, and
in what hardly varies there, which the blur of vibrations changes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.learn.format import ModelError, ModelHeader, check_length, take_scale, take_tensor
from ovito_glassml.learn.sample_extrapolation import VARIANCE_FLOOR, Blocks, SampleScore, fit_sample_score
from ovito_glassml.neighbours import average_within, sort_in_space, sum_within
from ovito_glassml.progress import Progress
from ovito_glassml.structure import Structure

__all__ = ["ExtrapolationScore", "fit_extrapolation", "with_sample_score"]

#: Share of the training atoms whose score is below one.
QUANTILE = 0.99
#: Keeps the logarithm of an atom's own distance finite where it is zero.
SMALLEST_SQUARE = 0.1
#: Coordinates of a head beside its components.
OWN = 3

#: Means, spreads and principal axes by head.
Scales = tuple[Mapping[str, NDArray], Mapping[str, NDArray], Mapping[str, NDArray]]


@dataclass(frozen=True)
class ExtrapolationScore:
    """Distance of regions from the training data; 1 is the training atoms' 99th percentile.

    Attributes
    ----------
    radius : float
        Atoms within it are averaged, in the structure's length unit.
    means, spreads : dict of head name to (F,) array
        Standardise the rows of the atoms each head is for.
    axes : dict of head name to (F, F) array
        Principal axes of the standardised rows, the one of largest variance first, scaled to unit variance where
        the rows vary at all.
    components : int
        How many of them are coordinates themselves, the same number for every head.
    centre, whitening : (W,), (W, W) arrays
        Mean average and the matrix whose product with a deviation has the score as its length.
    sample : SampleScore or None
        Judges a sample as a whole; models made before there was one have none.
    """

    radius: float
    means: Mapping[str, NDArray[np.float64]]
    spreads: Mapping[str, NDArray[np.float64]]
    axes: Mapping[str, NDArray[np.float64]]
    components: int
    centre: NDArray[np.float64]
    whitening: NDArray[np.float64]
    sample: SampleScore | None = None

    @property
    def width(self) -> int:
        """Number of coordinates of an atom."""
        return _width(self.axes, self.components)

    def embed(self, name: str, rows: NDArray) -> NDArray[np.float32]:
        """Coordinates of the atoms of one head: components, own distances and a one in that head's columns."""
        return _embed(name, self._standard(name, rows), self.axes, self.components)

    def uncorrelated(self, name: str, rows: NDArray) -> NDArray:
        """Rows of the atoms of one head along its principal axes: training atoms have mean 0 and unit covariance."""
        return self._standard(name, rows) @ self.axes[name].astype(rows.dtype)

    def _standard(self, name: str, rows: NDArray) -> NDArray:
        return (rows - self.means[name].astype(rows.dtype)) / self.spreads[name].astype(rows.dtype)

    def evaluate(
        self, structure: Structure, embedding: NDArray, progress: Progress | None = None
    ) -> NDArray[np.float64]:
        """Score of every atom from the coordinates of all; atoms without coordinates (NaN) do not count."""
        scores = np.empty(len(structure))
        _, order, cells = sort_in_space(structure, self.radius)
        embedding = embedding[order]

        def score(indices: NDArray[np.int32], sums: NDArray[np.float64]) -> None:
            scores[order[indices]] = self.of_sums(sums)

        sum_within(cells, embedding, self.radius, score, *self.columns(embedding), progress=progress)
        return scores

    def columns(self, embedding: NDArray) -> tuple[NDArray[np.int32], int]:
        """Which coordinates are not zero, those of an atom's head, as `sum_within` takes them."""
        width = self.components + OWN
        ones = embedding[:, width - 1 :: width] == 1
        counted = ones.any(axis=1) & np.isfinite(embedding[:, ::width]).all(axis=1)
        return np.where(counted, ones.argmax(axis=1) * width, -1).astype(np.int32), width

    def of_sums(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Score from the sums of the coordinates around an atom (B, W), NaN if nobody is there."""
        width = self.components + OWN
        count = np.add.reduce(sums[:, width - 1 :: width], axis=1, keepdims=True)
        count[count == 0] = np.nan  # which divides without a warning
        deviations = (sums / count - self.centre) @ self.whitening
        return np.asarray(np.sqrt(np.vecdot(deviations, deviations)))

    def evaluate_sample(self, embedding: NDArray) -> float:
        """Score of the atoms with these coordinates as a sample; NaN without atoms or a score for samples."""
        return self.sample.evaluate(embedding) if self.sample is not None else float("nan")

    def tensors(self) -> dict[str, NDArray]:
        """For the model file."""
        tensors = {"extrapolation.centre": self.centre, "extrapolation.whitening": self.whitening}
        tensors |= self.sample.tensors() if self.sample is not None else {}
        for name, mean in self.means.items():
            tensors[f"extrapolation.{name}.mean"] = mean
            tensors[f"extrapolation.{name}.spread"] = self.spreads[name]
            tensors[f"extrapolation.{name}.axes"] = self.axes[name]
        return tensors

    @classmethod
    def from_tensors(
        cls, header: ModelHeader, tensors: Mapping[str, NDArray], names: Sequence[str], inputs: int
    ) -> ExtrapolationScore:
        """From the tensors of a model file, with all shapes checked."""
        means, spreads, axes = {}, {}, {}
        for name in names:
            means[name] = take_tensor(header, tensors, f"extrapolation.{name}.mean", (inputs,)).astype(np.float64)
            spreads[name] = take_scale(header, tensors, f"extrapolation.{name}.spread", (inputs,)).astype(np.float64)
            axes[name] = take_tensor(header, tensors, f"extrapolation.{name}.axes", (inputs, inputs)).astype(np.float64)
        centre = take_tensor(header, tensors, "extrapolation.centre", (None,)).astype(np.float64)
        width = len(centre)
        components = width // len(names) - OWN
        if width % len(names) or not 0 < components <= inputs:
            raise ModelError(
                f"The tensor extrapolation.centre has {width} numbers, which {len(names)} heads with {inputs} inputs "
                "cannot have; train the model again."
            )
        whitening = take_tensor(header, tensors, "extrapolation.whitening", (width, width)).astype(np.float64)
        radius = check_length("extrapolation_radius", header.architecture["extrapolation_radius"])
        sample = SampleScore.from_tensors(header, tensors, width)
        return cls(radius, means, spreads, axes, components, centre, whitening, sample)


def fit_extrapolation(
    structures: Sequence[Structure],
    rows: Sequence[NDArray],
    members: Sequence[Mapping[str, NDArray]],
    parts: Sequence[NDArray],
    *,
    runs: Sequence[object] | None = None,
    radius: float = 8.0,
    components: int = 8,
) -> ExtrapolationScore:
    """Learn where the training data lie.

    Parameters
    ----------
    structures : sequence of Structure
        Training samples.
    rows : sequence of (N, F) array
        Their descriptor rows, all atoms.
    members : sequence of dict of head name to index array
        Which atoms of each sample every head is for; atoms of no head do not count.
    parts : sequence of (N,) integer array
        Number of the part of the training data that each atom belongs to. Every part is scored by
        a distance fitted to the others, so that a new glass of the same kind scores as these do.
    runs : sequence, optional
        For `with_sample_score`; by default every structure is a sample of its own.
    radius : float
        Å over which coordinates are averaged. The default, 8, holds some 120 atoms: enough to tell a
        minimised liquid from a glass, which 5 Å do not, and few enough for a hundred independent
        regions in a training set of laptop size.
    components : int
        Principal components kept for each head; 8 by default, more would need more training data.

    Returns
    -------
    ExtrapolationScore
        Scaled so that 99 % of the training atoms, and every training sample, score below 1.
    """
    components = min(components, rows[0].shape[1])
    samples = list(zip(structures, rows, members, strict=True))
    distances = []
    for number in np.unique(np.concatenate(parts)):
        others = [part != number for part in parts]
        if not _enough([_chosen_of(heads, known) for heads, known in zip(members, others, strict=True)]):
            others = [np.ones(len(part), dtype=bool) for part in parts]
        scales = scales_of(rows, members, others)
        averages = [_averages(*sample, scales, components, radius) for sample in samples]
        seen = [table[chosen & np.isfinite(table[:, 0])] for table, chosen in zip(averages, others, strict=True)]
        centre, whitening = _whitening(np.concatenate(seen))
        for table, part in zip(averages, parts, strict=True):
            distances.append(np.linalg.norm((table[part == number] - centre) @ whitening, axis=1))
    scales = scales_of(rows, members)
    averages = [_averages(*sample, scales, components, radius) for sample in samples]
    every = np.concatenate(averages)
    centre, whitening = _whitening(every[np.isfinite(every[:, 0])])
    unit = np.nanquantile(np.concatenate(distances), QUANTILE)
    score = ExtrapolationScore(radius, *scales, components, centre, whitening / unit)
    return with_sample_score(score, structures, rows, members, runs or range(len(structures)))


def with_sample_score(
    score: ExtrapolationScore,
    structures: Sequence[Structure],
    rows: Sequence[NDArray],
    members: Sequence[Mapping[str, NDArray]],
    runs: Sequence[object],
) -> ExtrapolationScore:
    """The same score, and one for whole samples.

    Parameters
    ----------
    score : ExtrapolationScore
    structures, rows, members
        The training samples, as for `fit_extrapolation`.
    runs : sequence
        Structures that are one sample at several times have the same entry: they are left out together.

    Returns
    -------
    ExtrapolationScore
        Every training sample, and 99 % of those to come, score below 1 where all is fitted without it.
    """
    from scipy.special import gammaincinv  # a quarter of a second that predictions need not wait for

    samples = list(zip(structures, rows, members, strict=True))
    shares = slice(score.components + OWN - 1, None, score.components + OWN)
    distances: list[float] = []
    for run in dict.fromkeys(runs):
        others = [number for number, name in enumerate(runs) if name != run]
        if not _enough([members[number] for number in others]):
            others = list(range(len(runs)))
        scales = scales_of([rows[number] for number in others], [members[number] for number in others])
        fitted = fit_sample_score([_blocks(*samples[number], scales, score.components) for number in others], shares)
        for left_out in (sample for sample, name in zip(samples, runs, strict=True) if name == run):
            blocks = _blocks(*left_out, scales, score.components)
            distances.append(fitted.distance(blocks.mean, blocks.total))
    scales = score.means, score.spreads, score.axes
    fitted = fit_sample_score([_blocks(*sample, scales, score.components) for sample in samples], shares)
    # The largest of few distances is no bound for the next sample; that of a normal distribution of the same size is.
    width = len(fitted.centre)
    normal = np.mean(np.square(distances)) / width if len(set(runs)) > 1 else 1.0  # one sample left out leaves nothing
    unit = max(*distances, float(np.sqrt(normal * 2 * gammaincinv(width / 2, QUANTILE))))
    return replace(score, sample=replace(fitted, unit=unit))


def _enough(members: Sequence[Mapping[str, NDArray]]) -> bool:
    """Whether every head has atoms to be fitted to: a species may be in one sample only, which is not left out then."""
    return bool(members) and all(sum(len(heads[name]) for heads in members) > 1 for name in members[0])


def _blocks(
    structure: Structure, rows: NDArray, members: Mapping[str, NDArray], scales: Scales, components: int
) -> Blocks:
    return Blocks.of(structure, embedded(rows, members, scales, components))


def scales_of(
    rows: Sequence[NDArray],
    members: Sequence[Mapping[str, NDArray]],
    chosen: Sequence[NDArray[np.bool_]] | None = None,
) -> Scales:
    """Mean, spread and principal axes for each head, from some of the atoms or, by default, from all."""
    chosen = chosen if chosen is not None else [np.ones(len(table), dtype=bool) for table in rows]
    own = [_chosen_of(heads, known) for heads, known in zip(members, chosen, strict=True)]
    means, spreads, axes = {}, {}, {}
    for name in members[0]:
        pieces = [table[heads[name]] for table, heads in zip(rows, own, strict=True)]
        means[name], spreads[name], axes[name] = _principal_axes(np.concatenate(pieces))
    return means, spreads, axes


def _chosen_of(members: Mapping[str, NDArray], chosen: NDArray[np.bool_]) -> dict[str, NDArray]:
    return {name: own[chosen[own]] for name, own in members.items()}


def embedded(rows: NDArray, members: Mapping[str, NDArray], scales: Scales, components: int) -> NDArray[np.float32]:
    """Coordinates of the atoms of a sample, see `ExtrapolationScore.embed`; NaN for atoms of no head."""
    means, spreads, axes = scales
    embedding = np.full((len(rows), _width(axes, components)), np.nan, dtype=np.float32)
    for name, indices in members.items():
        standard = (rows[indices] - means[name]) / spreads[name]
        embedding[indices] = _embed(name, standard, axes, components)
    return embedding


def _averages(
    structure: Structure,
    rows: NDArray,
    members: Mapping[str, NDArray],
    scales: Scales,
    components: int,
    radius: float,
) -> NDArray[np.float64]:
    """Averaged coordinates of the atoms of a structure; NaN for atoms of no head."""
    embedding = embedded(rows, members, scales, components)
    averages = average_within(structure, embedding, radius).astype(np.float64)
    averages[np.isnan(embedding[:, 0])] = np.nan
    return averages


def _width(axes: Mapping[str, NDArray], components: int) -> int:
    return len(axes) * (components + OWN)


def _embed(name: str, standard: NDArray, axes: Mapping[str, NDArray], components: int) -> NDArray[np.float32]:
    """Components, the logarithms of two distances from the mean, and a one, in the columns of one head.

    The first distance weighs all descriptors alike, the second all principal axes, however little the
    training atoms vary along them.
    """
    along_axes = standard @ axes[name].astype(standard.dtype)
    embedding = np.zeros((len(standard), _width(axes, components)), dtype=np.float32)
    first = list(axes).index(name) * (components + OWN)
    own = embedding[:, first : first + components + OWN]
    own[:, :components] = along_axes[:, :components]
    own[:, components] = np.log(np.vecdot(standard, standard) / standard.shape[1] + SMALLEST_SQUARE)
    own[:, components + 1] = np.log(np.vecdot(along_axes, along_axes) / along_axes.shape[1] + SMALLEST_SQUARE)
    own[:, components + OWN - 1] = 1
    return embedding


def _principal_axes(rows: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Mean, spread, and the principal axes of the standardised rows, scaled to unit variance, largest first."""
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    spread = np.maximum(spread, 0.02 * spread.max())  # a bin that is nearly always empty would dominate
    variances, axes = np.linalg.eigh(np.atleast_2d(np.cov((rows - mean).T / spread[:, None])))
    return mean, spread, (axes / np.sqrt(variances + VARIANCE_FLOOR * variances.mean()))[:, ::-1]


def _whitening(averages: NDArray) -> tuple[NDArray, NDArray]:
    """Centre, and the matrix that turns deviations from it into uncorrelated ones of unit variance."""
    covariance = np.cov(averages.T)
    covariance += VARIANCE_FLOOR * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    variances, axes = np.linalg.eigh(covariance)
    return averages.mean(axis=0), axes / np.sqrt(variances)
