"""Barcodes drawn from known fractions, with an energy that depends on two environments."""

import numpy as np

from ovito_glassml.learn.barcode.data import BarcodeTable

#: Environments that lower and raise the energy.
LOW, HIGH = 3, 7


def planted(runs=8, each=30, atoms=20_000, environments=20, seed=1, noise=0.0):
    rng = np.random.default_rng(seed)
    count = runs * each
    order = rng.normal(size=count)
    shares = np.tile(np.full(environments, 1.0 / environments), (count, 1))
    shares[:, LOW] *= 1 + 0.25 * order
    shares[:, HIGH] *= 1 - 0.15 * order
    shares *= rng.uniform(0.9, 1.1, shares.shape)
    shares /= shares.sum(axis=1, keepdims=True)
    counts = np.array([rng.multinomial(atoms, one) for one in shares])
    energies = -4.6 - 0.4 * shares[:, LOW] + 0.3 * shares[:, HIGH] + noise * rng.normal(size=count)
    return BarcodeTable(
        counts.astype(np.int32),
        np.full(count, 2 * atoms),
        energies,
        np.repeat([f"run-{number}" for number in range(runs)], each),
        np.tile(np.repeat(["500 K", "700 K"], each // 2), runs),
        0.05 + 0.1 * shares[:, LOW],
        np.hstack([shares, shares**2]).astype(np.float32),
    )
