"""What all errors caused by input have in common."""

import errno

__all__ = ["FULL", "BusyError", "GlassMLError", "SimulationError", "TrainingError", "UnfitMaterialError", "told"]

#: What a disk says that has no room left, for anybody, for this user, or for such a file.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


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


def told(error: Exception) -> str:
    """The sentence for an error: what the system says of files, with what to do."""
    if not isinstance(error, OSError):
        return str(error)
    name = error.filename or "A file"
    if error.errno in FULL:
        return f"{name} cannot be written ({error.strerror}); make room and repeat the command, nothing is lost."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{name} cannot be opened ({error.strerror}); choose another place, or ask its owner."
    return str(error)
