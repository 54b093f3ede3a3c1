##### Glass ML: Heavy #####
"""A modifier whose module loads a library that only training needs."""

import sklearn  # noqa: F401
from conformance_mocks import MockModifier

__all__ = ["HeavyModifier"]


class HeavyModifier(MockModifier):
    pass
