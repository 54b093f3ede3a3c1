"""How wrong a prediction is to be expected, from whole samples that were left out.

An error that is the same for all atoms covers its share of them on average already. What can be said of one atom is how
wrong atoms predicted alike were found, so errors are stated by ranges of the predicted value. They include what all
atoms of a sample have in common, since whole samples were left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.learn.format import ModelError, ModelHeader, ResultTable, take_tensor

__all__ = ["COVERED", "ExpectedError", "coverage_table", "expected_error", "stated_by_others"]

#: Share of the atoms whose errors are below the stated one, that of one standard deviation.
COVERED = 0.68
#: Ranges of predicted values with equally many atoms, for each of which an error is stated.
RANGES = 5


@dataclass(frozen=True)
class ExpectedError:
    """How wrong predictions were for samples that were left out.

    Attributes
    ----------
    at, size : (K,) arrays
        Predicted values, rising, and the absolute error that 68 % of the atoms predicted near them stay below.
    within, mean : () arrays
        Standard deviation of the error within a sample, and of that of a sample's mean.
    """

    at: NDArray[np.float64]
    size: NDArray[np.float64]
    within: NDArray[np.float64]
    mean: NDArray[np.float64]

    def of(self, predicted: NDArray) -> NDArray[np.float64]:
        """Expected absolute error of each prediction; NaN for NaN."""
        return np.interp(predicted, self.at, self.size)

    def correlation(self, predicted: NDArray) -> float:
        """R to expect within a sample: σ / √(σ² + `within`²), σ being the spread of what was predicted."""
        if len(predicted) < 2:
            return float("nan")
        spread = float(predicted.std())
        return spread / float(np.hypot(spread, self.within)) if spread else 0.0

    def tensors(self, prefix: str = "error") -> dict[str, NDArray]:
        """For the model file."""
        return {f"{prefix}.{name}": np.asarray(value) for name, value in vars(self).items()}

    @classmethod
    def from_tensors(cls, header: ModelHeader, tensors: Mapping[str, NDArray], prefix: str = "error") -> ExpectedError:
        """From the tensors of a model file, with all shapes checked."""
        at = take_tensor(header, tensors, f"{prefix}.at", (None,)).astype(np.float64)
        size = take_tensor(header, tensors, f"{prefix}.size", (len(at),)).astype(np.float64)
        if not len(at) or (np.diff(at) <= 0).any():
            raise ModelError(f"{header.title}: the predictions that errors are listed for do not rise; train it again.")
        within, mean = (
            take_tensor(header, tensors, f"{prefix}.{name}", ()).astype(np.float64) for name in ("within", "mean")
        )
        return cls(at, size, within, mean)


def expected_error(predicted: Sequence[NDArray], targets: Sequence[NDArray]) -> ExpectedError:
    """What predictions of samples left out say of the error of the next; one array for each sample."""
    values = np.concatenate(predicted)
    wrong = np.abs(values - np.concatenate(targets))
    edges = np.quantile(values, np.linspace(0, 1, RANGES + 1))
    part = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, RANGES - 1)
    held = [part == number for number in range(RANGES) if (part == number).any()]
    at, first = np.unique([np.median(values[chosen]) for chosen in held], return_index=True)
    size = np.array([np.quantile(wrong[chosen], COVERED) for chosen in held])[first]
    differences = [p - t for p, t in zip(predicted, targets, strict=True) if len(p)]
    within = np.sqrt(np.mean([difference.var() for difference in differences]))
    mean = np.std([difference.mean() for difference in differences], ddof=1)
    return ExpectedError(at, size, np.array(within), np.array(mean))


def stated_by_others(predicted: Sequence[NDArray], targets: Sequence[NDArray]) -> list[NDArray[np.float64]]:
    """Expected errors of each sample as all the others state them."""
    every = range(len(predicted))
    stated = []
    for left in every:
        others = [k for k in every if k != left]
        error = expected_error([predicted[k] for k in others], [targets[k] for k in others])
        stated.append(error.of(predicted[left]))
    return stated


def coverage_table(
    stated: Sequence[NDArray], wrong: Sequence[NDArray], what: str, title: str = "Do stated errors hold?"
) -> ResultTable:
    """Whether stated errors hold, beside one constant for all atoms.

    Parameters
    ----------
    stated, wrong : sequences of (N,) arrays
        Stated and found absolute errors of the atoms of each sample, see `stated_by_others`.
    what : str
        The predicted quantity by whose value errors are stated.
    title : str
    """
    every = range(len(stated))
    constants = [np.quantile(np.concatenate([wrong[k] for k in every if k != left]), COVERED) for left in every]
    constant = [np.full(len(found), size) for found, size in zip(wrong, constants, strict=True)]
    fifth = np.argsort(np.argsort(np.concatenate(stated), kind="stable"), kind="stable") * 5 // sum(map(len, stated))
    errors = np.concatenate(wrong)
    rows: list[tuple[object, ...]] = []
    for name, sizes in ((f"by {what}", stated), ("one for all atoms", constant)):
        samples = [float((found <= size).mean()) for found, size in zip(wrong, sizes, strict=True)]
        below = np.concatenate(sizes) - errors
        fifths = [float((below[fifth == part] >= 0).mean()) for part in range(5)]
        pinball = float(np.where(below >= 0, (1 - COVERED) * below, -COVERED * below).mean())
        rows.append((name, float(np.mean(samples)), min(samples), max(samples), min(fifths), max(fifths), pinball))
    columns = ("stated error", "covered", "least", "most", "least fifth", "most fifth", "pinball loss")
    note = (
        f"Share of the atoms whose error is at most the stated one ({COVERED:.0%} asked), mean, least and most of the "
        "samples, and in fifths of the stated error; errors are stated by the other samples."
    )
    return ResultTable(title, columns, tuple(rows), note)
