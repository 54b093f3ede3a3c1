"""Compiled functions of `kernels.py`, which measures older checkouts with them, too."""

from ovito_glassml.compile import empty, kernel, unowned
from ovito_glassml.descriptors.density import (
    collect_neighbours,
    evaluate_harmonics,
    evaluate_radial,
    expand_density,
    make_workspace,
)
from ovito_glassml.descriptors.soap import _contract


@kernel
def repeat_products(begin, end, grid, block, expansion, n_max, prefactors, row, densities, spectra):
    """Expand the density and contract it, each several times."""
    grid, block, expansion, prefactors, row = unowned((grid, block, expansion, prefactors, row))
    space = make_workspace(grid, block, begin, end, expansion)
    work = unowned(space)
    products = empty((expansion.l_max + 2) * n_max * expansion.width, row.dtype)
    for t in range(begin, end):
        count = collect_neighbours(grid, block[t], expansion, space)
        evaluate_radial(expansion, work, count)
        evaluate_harmonics(expansion, work, count)
        for _ in range(densities):
            expand_density(expansion, work)
        for _ in range(spectra):
            _contract(expansion, n_max, prefactors, work.density, products, row)
