"""The two loops that take nine tenths of ViSQOL's time, arranged for vector instructions.

Each computes what visqol-python computes, in the same order per output value, so results are equal
to the last bit. The gain (eight times on one core) is in the layout: eight filters, or as many
candidate positions as a register holds, advance together. Both run on one thread, so neither the
threading layer of numba nor its limits matter.

Importing this module imports numba.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]

LANES = 8  # filters that advance together: their states fit the registers

Function = TypeVar("Function", bound=Callable[..., Any])


def _compiled(function: Function) -> Function:
    """Without Python's errors for division by zero the compiler may use vector instructions."""
    return cast(Function, njit(cache=True, error_model="numpy")(function))


def packed_filters(coefficients: Array) -> Array:
    """Gammatone coefficients as the kernel reads them.

    Args:
        coefficients: `[10, bands]` of `visqol.gammatone.make_erb_filters`: A0, A11, A12, A13,
            A14, A2 = 0, B0 = 1, B1, B2, gain.
    Returns:
        `[groups, 10, LANES]`: two numerator coefficients of each of four stages, then the two
        denominator coefficients that they share. Bands are filled up with zeros.
    """
    a0, a11, a12, a13, a14, _, _, b1, b2, gain = coefficients
    rows = np.stack([a0 / gain, a11 / gain, a0, a12, a0, a13, a0, a14, b1, b2])
    groups = -(-rows.shape[1] // LANES)
    padded = np.pad(rows, ((0, 0), (0, groups * LANES - rows.shape[1])))
    return np.ascontiguousarray(padded.reshape(10, groups, LANES).transpose(1, 0, 2))


@_compiled
def gammatone_rms(samples: Array, window: Array, filters: Array, hop_length: int) -> Array:
    """Root mean square of each windowed frame behind each gammatone filter.

    Args:
        samples: `[time]`, at least as long as the window.
        filters: of `packed_filters`. Each frame starts with filters at rest.
    Returns:
        `[groups · LANES, frames]`.
    """
    groups, length = filters.shape[0], window.shape[0]
    frames = 1 + (samples.shape[0] - length) // hop_length
    result = np.empty((groups * LANES, frames))
    frame = np.empty(length)
    w = np.empty(19 * LANES)  # one array, so that the compiler sees that its rows do not overlap
    for index in range(frames):
        for k in range(length):
            frame[k] = samples[index * hop_length + k] * window[k]
        for group in range(groups):
            for row in range(10):
                for c in range(LANES):
                    w[row * LANES + c] = filters[group, row, c]
            for c in range(10 * LANES, 19 * LANES):
                w[c] = 0.0
            for k in range(length):
                x = frame[k]
                for c in range(LANES):  # four stages of transposed direct form II, then energy
                    b1 = w[8 * LANES + c]
                    b2 = w[9 * LANES + c]
                    y0 = w[c] * x + w[10 * LANES + c]
                    w[10 * LANES + c] = w[LANES + c] * x - b1 * y0 + w[11 * LANES + c]
                    w[11 * LANES + c] = -(b2 * y0)
                    y1 = w[2 * LANES + c] * y0 + w[12 * LANES + c]
                    w[12 * LANES + c] = w[3 * LANES + c] * y0 - b1 * y1 + w[13 * LANES + c]
                    w[13 * LANES + c] = -(b2 * y1)
                    y2 = w[4 * LANES + c] * y1 + w[14 * LANES + c]
                    w[14 * LANES + c] = w[5 * LANES + c] * y1 - b1 * y2 + w[15 * LANES + c]
                    w[15 * LANES + c] = -(b2 * y2)
                    y3 = w[6 * LANES + c] * y2 + w[16 * LANES + c]
                    w[16 * LANES + c] = w[7 * LANES + c] * y2 - b1 * y3 + w[17 * LANES + c]
                    w[17 * LANES + c] = -(b2 * y3)
                    w[18 * LANES + c] += y3 * y3
            for c in range(LANES):
                result[group * LANES + c, index] = np.sqrt(w[18 * LANES + c] / length)
    return result


# NSIM's 3 × 3 Gaussian window and its two constants (Hines et al., 2015).
CORNER, EDGE, CENTRE = 0.0113033910173052, 0.0838251475442633, 0.619485845753726
C1 = 0.01**2
C3 = 0.03**2 / 2


@_compiled
def patch_similarities(
    patches: Array, decoded: Array, firsts: NDArray[np.int64], lasts: NDArray[np.int64]
) -> Array:
    """Mean NSIM of every reference patch at every position in the decoded spectrogram.

    Args:
        patches: `[patches, bands, width]`.
        decoded: `[bands, positions + width]`, dB, zeros behind its end.
        firsts, lasts: range of positions to compare each patch at.
    Returns:
        `[patches, positions]`, 0 outside the range.
    """
    count, bands, width = patches.shape
    result = np.zeros((count, decoded.shape[1] - width))
    # Local statistics repeat a patch's border: for its left column, those inside, its right one.
    means = np.empty((3, *decoded.shape))
    variances = np.empty((3, *decoded.shape))
    for place in range(3):
        _local_statistics(decoded, place, means[place], variances[place])
    for p in range(count):
        first, last = firsts[p], lasts[p]
        total = result[p, first : last + 1]
        for row in range(bands):
            _add_band(patches[p], decoded, means, variances, row, first, total)
        for position in range(total.shape[0]):
            total[position] /= bands
    return result


@_compiled
def _local_statistics(decoded: Array, place: int, mean: Array, variance: Array) -> None:
    bands, columns = decoded.shape
    for row in range(bands):
        above, below = max(row - 1, 0), min(row + 1, bands - 1)
        for column in range(columns):
            left = column if place == 0 else max(column - 1, 0)
            right = column if place == 2 else min(column + 1, columns - 1)
            a, b, c = decoded[above, left], decoded[above, column], decoded[above, right]
            d, e, f = decoded[row, left], decoded[row, column], decoded[row, right]
            g, h, i = decoded[below, left], decoded[below, column], decoded[below, right]
            m = CORNER * a + EDGE * b + CORNER * c + EDGE * d + CENTRE * e
            m = m + EDGE * f + CORNER * g + EDGE * h + CORNER * i
            s = CORNER * (a * a) + EDGE * (b * b) + CORNER * (c * c) + EDGE * (d * d)
            s = s + CENTRE * (e * e) + EDGE * (f * f)
            s = s + CORNER * (g * g) + EDGE * (h * h) + CORNER * (i * i)
            mean[row, column] = m
            variance[row, column] = s - m * m


@_compiled
def _add_band(
    patch: Array, decoded: Array, means: Array, variances: Array, row: int, first: int, total: Array
) -> None:
    """Add one band's mean similarity to `total`, for all positions from `first` on."""
    bands, width = patch.shape
    above, below = max(row - 1, 0), min(row + 1, bands - 1)
    band = np.zeros(total.shape[0])
    for column in range(width):
        left, right = max(column - 1, 0), min(column + 1, width - 1)
        place = 0 if column == 0 else 2 if column == width - 1 else 1
        a, b, c = patch[above, left], patch[above, column], patch[above, right]
        d, e, f = patch[row, left], patch[row, column], patch[row, right]
        g, h, i = patch[below, left], patch[below, column], patch[below, right]
        m = CORNER * a + EDGE * b + CORNER * c + EDGE * d + CENTRE * e
        m = m + EDGE * f + CORNER * g + EDGE * h + CORNER * i
        s = CORNER * (a * a) + EDGE * (b * b) + CORNER * (c * c) + EDGE * (d * d)
        s = s + CENTRE * (e * e) + EDGE * (f * f)
        s = s + CORNER * (g * g) + EDGE * (h * h) + CORNER * (i * i)
        squared_mean = m * m
        own_variance = s - squared_mean
        for position in range(total.shape[0]):
            at = first + position
            x = CORNER * (a * decoded[above, at + left])
            x += EDGE * (b * decoded[above, at + column])
            x += CORNER * (c * decoded[above, at + right])
            x += EDGE * (d * decoded[row, at + left])
            x += CENTRE * (e * decoded[row, at + column])
            x += EDGE * (f * decoded[row, at + right])
            x += CORNER * (g * decoded[below, at + left])
            x += EDGE * (h * decoded[below, at + column])
            x += CORNER * (i * decoded[below, at + right])
            other_mean = means[place, row, at + column]
            product = own_variance * variances[place, row, at + column]
            both = m * other_mean
            intensity = (2.0 * both + C1) / (squared_mean + other_mean * other_mean + C1)
            spread = C3 if product < 0.0 else np.sqrt(product) + C3
            band[position] += intensity * ((x - both + C3) / spread)
    for position in range(total.shape[0]):
        total[position] += band[position] / width
