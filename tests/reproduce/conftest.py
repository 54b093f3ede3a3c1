"""Fixtures that the tests of methods share with those of how they were made."""

from small_models import (  # noqa: F401
    barrier_glasses,
    bessel_scnn,
    environment_scnn,
    published_model,
    species_model,
    spring_glasses,
)
