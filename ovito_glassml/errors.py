"""What all errors caused by input have in common."""

__all__ = ["BusyError", "GlassMLError", "SimulationError", "TrainingError", "UnfitMaterialError"]


class GlassMLError(ValueError):
    """The input cannot be used; the message is one sentence with what is wrong and what to do.

    The command line prints such a message and nothing else; anything else is a bug and keeps its traceback.
    """


class TrainingError(GlassMLError):
    """A model cannot be trained on these data; the message says why and what to do."""


class SimulationError(GlassMLError):
    """A simulation cannot be run; the message says why and what to do."""


class UnfitMaterialError(SimulationError):
    """A material is no glass former as it stands, so that the same run would end in the same way."""


class BusyError(GlassMLError):
    """Another process is at work on the same files; the message says which, and what to do."""
