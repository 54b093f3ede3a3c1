##### Glass ML: Mock #####
#
# Modifiers to test the behaviour matrix with.

"""A modifier that obeys every rule, and others that each break one."""

import inspect
import threading
from dataclasses import dataclass, replace

import numpy as np
import pytest
from ovito.data import DataTable
from ovito.pipeline import ModifierInterface
from traits.api import Any, Bool, Float, HasStrictTraits, Python, Range, Str

from ovito_glassml.adapter.input import structure_from_data
from ovito_glassml.adapter.output import color_by, scatter, write_attributes, write_histogram, write_property
from ovito_glassml.adapter.progress import with_progress
from ovito_glassml.neighbours import neighbour_lists
from ovito_glassml.structure import Structure

__all__ = ["MockModifier"]


@dataclass(frozen=True)
class Mutant:
    """A modifier that breaks a rule.

    Attributes
    ----------
    modifier : type
    rule : str
        Name of the check without ``check_``.
    shows_as : exception type
        What the check raises.
    also : tuple of str
        Rules that cannot be kept when this one is broken.
    """

    modifier: type
    rule: str
    shows_as: type
    also: tuple

    def __str__(self):
        return f"{self.rule}-{self.modifier.__name__}"


MUTANTS = []


def breaks(rule, shows_as=AssertionError, also=()):
    """Enter a modifier in the list of those that break a rule."""

    def enter(modifier):
        MUTANTS.append(Mutant(modifier, rule, shows_as, tuple(also)))
        if modifier.__name__ not in __all__:
            __all__.append(modifier.__name__)
        name = modifier.__name__.removesuffix("Modifier")
        modifier.__doc__ = MockModifier.__doc__.replace("Mock.", f"{name}.")
        return modifier

    return enter


class MockModifier(HasStrictTraits, ModifierInterface):
    """Coordination number and mean distance of neighbours.

    Outputs: ``Mock Coordination``, ``Mock Distance``, the table ``mock-histogram`` and the
    attributes ``Mock.mean`` and ``Mock.undefined``.
    """

    cutoff = Range(low=0.0, value=4.0, exclude_low=True, label="Cutoff (Å)", ovito_group="Mock")
    """
    Neighbours are nearer than this.

    :Default: ``4.0``, the first shell.
    """

    species = Str("", label="Species of unnamed types", ovito_group="Mock")
    """
    Names in type order, as every modifier takes them.

    :Default: ``""``
    """

    only_selected = Bool(False, label="Use only selected particles", ovito_group="Mock")
    """
    Values for selected atoms only.

    :Default: ``False``
    """

    color_by_result = Bool(False, label="Color particles", ovito_group="Mock")
    """
    Color the particles by distance.

    :Default: ``False``
    """

    @property
    def prefix(self):
        return type(self).__name__.removesuffix("Modifier")

    def modify(self, data, **kwargs):
        yield "Looking for neighbours"
        structure = self.read(data)
        values = yield from with_progress(lambda report: self.measure(structure, report))
        self.write(data, structure, self.adjusted(values, structure, data))

    def read(self, data):
        return structure_from_data(data, only_selected=self.only_selected, names_needed=False)

    def adjusted(self, values, structure, data):
        return values

    def measure(self, structure, report):
        lists = neighbour_lists(structure, self.cutoff, progress=report)
        return self.statistics(structure, lists)

    def statistics(self, structure, lists):
        coordination = np.diff(lists.offsets)
        owner = np.repeat(np.arange(len(structure)), coordination)
        total = np.bincount(owner, lists.distances, minlength=len(structure))
        chosen = structure.selected
        return coordination[chosen].astype(np.int32), (total / np.maximum(coordination, 1))[chosen]

    def write(self, data, structure, values):
        coordination, distance = values
        write_property(data, "Mock Coordination", scatter(structure, coordination, -1))
        write_property(data, "Mock Distance", scatter(structure, distance, np.nan))
        write_histogram(data, "mock-histogram", "Mock", distance, "Distance (Å)")
        mean = float(distance.mean()) if len(distance) else np.nan
        undefined = len(structure) - len(distance)
        write_attributes(data, self.prefix, {"mean": mean, "undefined": undefined})
        if self.color_by_result:
            color_by(data, "Mock Distance")


class Bent(MockModifier):
    """Changes the mean distance by what `error` returns."""

    def adjusted(self, values, structure, data):
        return values[0], values[1] + self.error(structure, data)

    def error(self, structure, data):
        raise NotImplementedError


@breaks("constructs_without_arguments", TypeError)
class NeedsArgumentModifier(MockModifier):
    def __init__(self, cutoff, **parameters):
        super().__init__(cutoff=cutoff, **parameters)


@breaks("unknown_parameters_are_rejected", pytest.fail.Exception)
class AcceptsAnythingModifier(MockModifier):
    _ = Python()


@breaks("parameters_survive_pickling")
class ForgetfulModifier(MockModifier):
    cutoff = Range(low=0.0, value=4.0, label="Cutoff (Å)", ovito_group="Mock", transient=True)
    """
    Neighbours are nearer than this.

    :Default: ``4.0``
    """


@breaks("parameters_are_described")
class NoDocstringModifier(MockModifier):
    power = Range(low=0, value=1, label="Power", ovito_group="Mock")


@breaks("parameters_are_described")
class NoLabelModifier(MockModifier):
    power = Range(low=0, value=1, ovito_group="Mock")
    """
    Exponent of something important.

    :Default: ``1``
    """


@breaks("parameters_are_described")
class NoUnitModifier(MockModifier):
    radius = Range(low=0.0, value=1.0, label="Radius", ovito_group="Mock")
    """
    Radius of something important.

    :Default: ``1.0``
    """


@breaks("parameters_are_described")
class NoBoundsModifier(MockModifier):
    radius = Float(1.0, label="Radius (Å)", ovito_group="Mock")
    """
    Radius of something important.

    :Default: ``1.0``
    """


@breaks("generated_code_runs", also=["help_text_and_exports"])
@breaks("help_text_and_exports")
class NotExportedModifier(MockModifier):
    pass


__all__.remove("NotExportedModifier")


@breaks("outputs_are_documented")
class SecretOutputModifier(MockModifier):
    def write(self, data, structure, values):
        super().write(data, structure, values)
        write_property(data, "Mock Secret", scatter(structure, values[1], np.nan))


@breaks("outputs_are_documented", also=["only_selected"])
class NothingPerAtomModifier(MockModifier):
    def write(self, data, structure, values):
        super().write(data, structure, values)
        for name in ("Mock Coordination", "Mock Distance"):
            del data.particles_[name]


@breaks("progress_is_reported")
class SilentModifier(MockModifier):
    def modify(self, data, **kwargs):
        yield "Looking for neighbours"
        structure = self.read(data)
        values = self.measure(structure, None)
        self.write(data, structure, values)


#: Atoms that only the rule about cancelling has; other rules would take minutes.
MANY = 8000


@breaks("cancels_quickly")
class DeafModifier(MockModifier):
    def measure(self, structure, report):
        return super().measure(structure, None)


@breaks("cancels_quickly")
class StubbornModifier(MockModifier):
    def modify(self, data, **kwargs):
        try:
            yield from super().modify(data, **kwargs)
        except GeneratorExit:
            sum(number for number in range(data.particles.count))
            raise


@breaks("no_python_loop_over_atoms")
class LoopModifier(Bent):
    def error(self, structure, data):
        return np.array([0.0 for _ in structure.selected])


@breaks("no_python_loop_over_atoms")
class LoopInWorkerModifier(MockModifier):
    def measure(self, structure, report):
        for _ in structure.positions:
            pass
        return super().measure(structure, report)


@breaks(
    "results_are_reproducible_bit_by_bit",
    also=["unnamed_types", "inserted_twice", "pipeline_and_apply_agree"],
)
class NoisyModifier(Bent):
    def error(self, structure, data):
        return np.random.default_rng().normal(0, 1e-12, len(structure.selected))


@breaks("data_without_particles")
class NeedsParticlesModifier(MockModifier):
    def read(self, data):
        if not data.particles.count:
            raise ZeroDivisionError("division by zero")
        return super().read(data)


@breaks("data_without_particles")
class NothingIsFineModifier(MockModifier):
    def modify(self, data, **kwargs):
        if data.particles is not None:
            yield from super().modify(data, **kwargs)


@breaks("open_and_mixed_boundaries")
class AlwaysPeriodicModifier(MockModifier):
    def read(self, data):
        structure = super().read(data)
        return replace(structure, pbc=(True, True, True)) if data.cell is not None else structure


@breaks("triclinic_cells", also=["small_periodic_cells", "rotation"])
class OrthogonalModifier(MockModifier):
    def read(self, data):
        structure = super().read(data)
        return structure if structure.cell is None else replace(structure, cell=np.diag(np.diag(structure.cell)))


@breaks("small_periodic_cells")
class NearestImageModifier(MockModifier):
    def statistics(self, structure, lists):
        owner = np.repeat(np.arange(len(structure)), np.diff(lists.offsets))
        chosen = structure.selected
        pairs = np.column_stack([owner, lists.indices])
        _, first = np.unique(pairs, axis=0, return_index=True)
        kept = first[pairs[first, 0] != pairs[first, 1]]
        number = np.bincount(owner[kept], minlength=len(structure))
        total = np.bincount(owner[kept], lists.distances[kept], minlength=len(structure))
        return number[chosen].astype(np.int32), (total / np.maximum(number, 1))[chosen]


@breaks("no_cell")
class NeedsCellModifier(MockModifier):
    def read(self, data):
        return replace(super().read(data), origin=data.cell[:, 3])


@breaks("one_species")
class NeedsTwoSpeciesModifier(Bent):
    def error(self, structure, data):
        return np.nan if len(structure.species_names) < 2 else 0.0


@breaks("unnamed_types")
class NeedsNamesModifier(Bent):
    def error(self, structure, data):
        return len(data.particles.particle_types.types[0].name)


@breaks(
    "shuffled_identifiers",
    also=["data_without_particles", "changing_number_of_atoms", "only_selected", "pipeline_and_apply_agree"],
)
class IgnoresIdentifiersModifier(MockModifier):
    def modify(self, data, *, input_slots, **kwargs):
        later = input_slots["upstream"].compute(1).particles.positions[...]
        yield from super().modify(data, **kwargs)
        displacement = np.linalg.norm(later - data.particles.positions, axis=1)
        write_property(data, "Mock Distance", displacement)


@breaks("changing_number_of_atoms", ValueError)
class RemembersNumberModifier(MockModifier):
    def modify(self, data, *, data_cache, **kwargs):
        yield from super().modify(data, **kwargs)
        first = data_cache.attributes.setdefault("count", data.particles.count)
        write_property(data, "Mock Distance", data.particles["Mock Distance"][...] + np.zeros(first))


@breaks("two_dimensions_are_refused")
class FlatModifier(MockModifier):
    def read(self, data):
        copy = data.clone()
        if copy.cell is not None:
            copy.cell_.is2D = False
        return super().read(copy)


@breaks("non_finite_coordinates_are_refused")
class MendsCoordinatesModifier(MockModifier):
    def read(self, data):
        copy = data.clone()
        if copy.particles is not None:
            copy.particles_.positions_[...] = np.nan_to_num(copy.particles.positions[...], posinf=0.0)
        return super().read(copy)


@breaks("non_finite_coordinates_are_refused", also=["two_dimensions_are_refused"])
class HalfWrittenModifier(MockModifier):
    def modify(self, data, **kwargs):
        if data.particles is not None:
            write_property(data, "Mock Distance", np.zeros(data.particles.count))
        yield from super().modify(data, **kwargs)


@breaks("two_dimensions_are_refused")
class UnclearErrorModifier(MockModifier):
    def read(self, data):
        if data.cell is not None and data.cell.is2D:
            raise RuntimeError("2D")
        return super().read(data)


@breaks("only_selected")
class IgnoresSelectionModifier(MockModifier):
    def read(self, data):
        return replace(super().read(data), mask=None)


@breaks("only_selected")
class DropsUnselectedModifier(MockModifier):
    def read(self, data):
        structure = super().read(data)
        if structure.mask is None:
            return structure
        away = structure.positions + np.where(structure.mask, 0.0, 1000.0)[:, None] * np.arange(len(structure))[:, None]
        return Structure(away, mask=structure.mask)


@breaks("missing_values_are_counted", also=["changing_number_of_atoms", "only_selected"])
class DoesNotCountModifier(MockModifier):
    def write(self, data, structure, values):
        super().write(data, structure, values)
        del data.attributes[f"{self.prefix}.undefined"]


@breaks("rotation")
class DirectedModifier(MockModifier):
    def measure(self, structure, report):
        lists = neighbour_lists(structure, self.cutoff, vectors=True)
        along = np.bincount(
            np.repeat(np.arange(len(structure)), np.diff(lists.offsets)),
            np.abs(lists.vectors[:, 2]),
            minlength=len(structure),
        )
        coordination, distance = self.statistics(structure, lists)
        return coordination, distance + along[structure.selected]


@breaks("translation")
class PositionModifier(Bent):
    def error(self, structure, data):
        return np.linalg.norm(structure.positions[structure.selected], axis=1)


@breaks("permutation")
class OrderModifier(Bent):
    def error(self, structure, data):
        return structure.selected


@breaks("other_data_is_untouched")
class SelectsModifier(MockModifier):
    def write(self, data, structure, values):
        super().write(data, structure, values)
        data.particles_.create_property("Selection", data=np.ones(len(structure), dtype=int))


@breaks("other_data_is_untouched")
class RenamesTypesModifier(MockModifier):
    def write(self, data, structure, values):
        super().write(data, structure, values)
        if data.particles.particle_types is not None and len(data.particles.particle_types.types):
            data.particles_.particle_types_.types_[0].name = "Soft"


@breaks("other_data_is_untouched")
class ColorsAlwaysModifier(MockModifier):
    def write(self, data, structure, values):
        super().write(data, structure, values)
        color_by(data, "Mock Distance")


@breaks("tables_are_labelled")
class NoAxisUnitModifier(MockModifier):
    def write(self, data, structure, values):
        super().write(data, structure, values)
        data.tables_["mock-histogram_"].axis_label_x = "Distance"


@breaks("tables_are_labelled")
class NoPlotModifier(MockModifier):
    def write(self, data, structure, values):
        super().write(data, structure, values)
        data.tables_["mock-histogram_"].plot_mode = DataTable.PlotMode.NoPlot


@breaks("tables_are_labelled")
class NamelessBarsModifier(MockModifier):
    def write(self, data, structure, values):
        super().write(data, structure, values)
        table = data.tables_["mock-histogram_"]
        table.plot_mode = DataTable.PlotMode.BarChart
        table.x = table.create_property("Bars (names)", data=np.arange(len(table.y), dtype=np.int32))


@breaks(
    "attributes_can_be_exported",
    also=["changing_number_of_atoms", "only_selected", "missing_values_are_counted"],
)
class OtherPrefixModifier(MockModifier):
    @property
    def prefix(self):
        return "Something"


@breaks("attributes_can_be_exported", (AssertionError, ValueError))
class ListAttributeModifier(MockModifier):
    def write(self, data, structure, values):
        super().write(data, structure, values)
        data.attributes[f"{self.prefix}.mean"] = [1.0, 2.0]


@breaks("inserted_twice")
class AccumulatesModifier(Bent):
    def error(self, structure, data):
        before = data.particles.get("Mock Distance")
        return 0.0 if before is None else before[...]


@breaks("pipeline_and_apply_agree")
class KnowsItsFileModifier(Bent):
    def error(self, structure, data):
        return float("SourceFile" in data.attributes)


@breaks("command_line_agrees")
class KnowsItsCommandModifier(Bent):
    def error(self, structure, data):
        return float(any(frame.filename.endswith("apply.py") for frame in inspect.stack()))


@breaks("session_survives_saving", also=["parameters_survive_pickling"])
class UnpicklableModifier(MockModifier):
    lock = Any(editable=False)

    def __init__(self, **parameters):
        super().__init__(**parameters)
        self.lock = threading.Lock()
