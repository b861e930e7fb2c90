"""How late, how loud and which way up a decoded clip is, and the delay taken out.

The delay is found by cross-correlation in 800-3400 Hz. Over the full band, a codec's own high-pass
moves the peak (five samples for Opus in voip mode); inside the band that all codecs keep, it does
not. The peak is located between samples on the cross-spectrum itself, so its precision is that of
the signal and not of a grid.

Vocoders (Codec2) keep the envelope of speech and not its waveform. Their waveform still correlates
by 0.2 to 0.6 at some wrong delay, pitch periods away, so below 0.7 the envelope has a say: it finds
the delay of any codec to within 3 ms on speech, vocoder or not.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nacbench.audio import fit_length
from nacbench.core import Alignment, Clip, Samples

VERSION = "3"  # raise it when an aligned sample or a measurement moves
SEARCH_S = 0.5  # twice the longest delay of a codec in use (HE-AAC's 0.2 s)
BAND_HZ = (800.0, 3400.0)
GRID_PER_PERIOD = 9  # points per period of the band's upper edge at which peaks are looked for
TIE = 0.99  # relative height at which two peaks in the band are told apart by the full band
CERTAIN = 0.7  # |correlation| of a decoder at 0 dB SI-SDR; Codec2's false peaks stay below 0.6
WAVEFORM_TRUST = 0.3  # at -10 dB
ENVELOPE_TRUST = 0.65  # Codec2 on speech: 0.84 to 0.98; unrelated speech: up to 0.53
ENVELOPE_ERROR_S = 0.003  # AMR-NB at 4.75 kbps, whose delay is known: 0.8 to 2.4 ms
ENVELOPE_HZ = 1000
FRACTION_PAYS = 0.98  # a fractional shift must lower the unexplained energy by 2 % (0.1 dB)
NUMERICAL = 1e-6  # of the energy: what single precision leaves unexplained of equal signals
UNKNOWN = Alignment(delay_ms=0.0, gain_db=0.0, polarity=1, correlation=0.0)


def align(reference: Clip, decoded: Clip) -> tuple[Clip, Alignment]:
    """Measure delay, gain and polarity; take the delay out and give the reference's length.

    Args:
        reference: what went into the codec.
        decoded: the same rate and channels; any length. Delays within ±`SEARCH_S` are found.

    Delay, gain and polarity are those of the band. Polarity is -1 only where the waveform shows it.

    Returns:
        The decoded clip, delay removed, exactly as long as the reference, gain and polarity as
        they came; and what was measured. All channels share one delay. The shift is a whole number
        of samples, and so bit-exact, unless a fractional shift explains the reference better; then
        it is a band-limited one. Where nothing can be measured (silence, not-a-number, audio that
        has nothing to do with the reference) the delay is 0 and so is the correlation, or nearly.

    Raises:
        ValueError: rates or channel counts differ.
    """
    if (reference.sample_rate_hz, reference.channels) != (decoded.sample_rate_hz, decoded.channels):
        raise ValueError(
            f"reference and decoded differ: {reference.channels} x {reference.sample_rate_hz} Hz, "
            f"{decoded.channels} x {decoded.sample_rate_hz} Hz"
        )
    rate = reference.sample_rate_hz
    ref = reference.samples
    # What lies beyond the search range cannot belong to the reference.
    dec = decoded.samples[:, : reference.length + math.ceil(SEARCH_S * rate)]
    if not (_sounds(ref) and _sounds(dec)):
        return _clip(fit_length(dec, ref.shape[1]), decoded, reference), UNKNOWN

    cross = _CrossSpectrum(ref, dec, rate)
    delay, correlation = cross.peak(*BAND_HZ)
    band = BAND_HZ
    if abs(correlation) < WAVEFORM_TRUST:  # nothing in that band? a bass, a whistle
        everything = (0.0, rate / 2)
        delay_full, correlation_full = cross.peak(*everything)
        if abs(correlation_full) > CERTAIN:
            delay, correlation, band = delay_full, correlation_full, everything
    if abs(correlation) < CERTAIN:
        by_envelope = _envelope_delay(ref, dec, rate)
        seen = abs(correlation) >= WAVEFORM_TRUST
        if by_envelope is None:
            delay = delay if seen else 0.0
        elif not seen or abs(delay - by_envelope) > ENVELOPE_ERROR_S * rate:
            delay = by_envelope
        correlation = cross.correlation(delay, *band)

    whole = round(delay)
    unexplained = 1 - cross.correlation(delay, *band) ** 2
    unexplained_whole = 1 - cross.correlation(whole, *band) ** 2
    if unexplained_whole > NUMERICAL and unexplained < FRACTION_PAYS * unexplained_whole:
        shifted = cross.decoded_advanced_by(delay, ref.shape[1])
    else:
        shifted = _shift(dec, whole, ref.shape[1])
    measured = Alignment(
        delay_ms=delay / rate * 1000,
        gain_db=cross.level_db(*band),
        polarity=-1 if correlation <= -WAVEFORM_TRUST else 1,
        correlation=min(abs(correlation), 1.0),
    )
    return _clip(shifted, decoded, reference), measured


class _CrossSpectrum:
    """conj(R)·D of zero-padded reference and decoded, summed over channels."""

    def __init__(self, ref: Samples, dec: Samples, rate: int) -> None:
        from scipy import fft

        reach = math.ceil(SEARCH_S * rate)
        # Padding by the reach keeps circular lags within ±reach free of wrap-around.
        self.size = fft.next_fast_len(max(ref.shape[1], dec.shape[1]) + reach, real=True)
        self.rate = rate
        self.dec_spectrum = fft.rfft(dec, self.size)
        ref_spectrum = fft.rfft(ref, self.size)
        self.cross = np.einsum("ck,ck->k", ref_spectrum.conj(), self.dec_spectrum)
        self.ref_power = _power(ref_spectrum)
        self.dec_power = _power(self.dec_spectrum)

    def peak(self, low_hz: float, high_hz: float) -> tuple[float, float]:
        """Delay in samples, and the signed normalised correlation there, within a band."""
        from scipy import fft

        low, high = self._bins(low_hz, high_hz)
        # Zero outside the band, so a short inverse transform samples the same function.
        grid_size = fft.next_fast_len(GRID_PER_PERIOD * high, real=True)
        spectrum = np.zeros(grid_size // 2 + 1, dtype=np.complex64)
        spectrum[low:high] = self.cross[low:high]
        step = self.size / grid_size
        lags = _around_zero(np.abs(fft.irfft(spectrum, grid_size)), SEARCH_S * self.rate / step)
        before, here, after = lags[:-2], lags[1:-1], lags[2:]
        hills = np.flatnonzero((here >= before) & (here >= after) & (here > 0))
        if not hills.size:
            return 0.0, self.correlation(0.0, low_hz, high_hz)
        # Summits lie between grid points, up to 6 % higher: a parabola through three of them.
        slope = 0.5 * (after - before)[hills]
        bend = np.minimum((before - 2 * here + after)[hills], -1e-30)
        summits = here[hills] - 0.5 * slope**2 / bend
        places = (hills + 1 - len(lags) // 2 - slope / bend) * step
        near = summits >= TIE * summits.max()
        if np.count_nonzero(near) > 1:
            chosen = self._best_over_the_full_band(places[near])
        else:
            chosen = float(places[np.argmax(summits)])
        delay = self._climb(chosen, step, low, high)
        return delay, self.correlation(delay, low_hz, high_hz)

    def _best_over_the_full_band(self, places: NDArray[np.float64]) -> float:
        """A steady tone in the band fits a period later as well; the other bands know better."""
        from scipy import fft

        lags = _around_zero(np.abs(fft.irfft(self.cross, self.size)), SEARCH_S * self.rate)
        indices = np.clip(np.rint(places).astype(int) + len(lags) // 2, 0, len(lags) - 1)
        return float(places[np.argmax(lags[indices])])

    def correlation(self, delay: float, low_hz: float, high_hz: float) -> float:
        """Normalised correlation in a band, -1…1, if the decoded audio is `delay` samples late."""
        low, high = self._bins(low_hz, high_hz)
        energy = float(self.ref_power[low:high].sum() * self.dec_power[low:high].sum())
        if energy <= 0:
            return 0.0
        turn = np.exp(1j * self._omega(low, high) * delay)
        return float((self.cross[low:high] * turn).real.sum()) / math.sqrt(energy)

    def level_db(self, low_hz: float, high_hz: float) -> float:
        """Energy of the decoded audio over that of the reference in a band; 0 where one has none.

        Not the least-squares gain, which sinks with the correlation: by 3 dB at 0.7.
        """
        low, high = self._bins(low_hz, high_hz)
        reference = float(self.ref_power[low:high].sum())
        decoded = float(self.dec_power[low:high].sum())
        return 10 * math.log10(decoded / reference) if min(decoded, reference) > 0 else 0.0

    def decoded_advanced_by(self, delay: float, length: int) -> Samples:
        """The decoded audio `delay` samples earlier: band-limited interpolation, exact in phase."""
        from scipy import fft

        turn = np.exp(1j * self._omega(0, self.dec_spectrum.shape[1]) * delay)
        shifted = fft.irfft(self.dec_spectrum * turn.astype(np.complex64), self.size)
        return fit_length(shifted[:, :length], length).astype(np.float32)

    def _climb(self, delay: float, step: float, low: int, high: int) -> float:
        """The summit of |correlation| near a grid point, by Newton's method on its slope."""
        omega = self._omega(low, high)
        cross = self.cross[low:high]
        start = delay
        for _ in range(5):
            turned = cross * np.exp(1j * omega * delay)
            slope = -float((turned.imag * omega).sum())
            bend = -float((turned.real * omega**2).sum())
            if bend == 0:
                break
            move = -slope / bend
            if abs(delay + move - start) > step:
                return start  # no summit here (a shoulder): the grid point is as good
            delay += move
            if abs(move) < 1e-4:
                break
        return delay

    def _bins(self, low_hz: float, high_hz: float) -> tuple[int, int]:
        bins_per_hz = self.size / self.rate
        last = self.size // 2 + 1
        low = min(math.ceil(low_hz * bins_per_hz), last - 1)
        return max(low, 1), max(min(math.floor(high_hz * bins_per_hz) + 1, last), low + 1)

    def _omega(self, low: int, high: int) -> NDArray[np.float64]:
        """Radians per sample of each bin."""
        omega: NDArray[np.float64] = np.arange(low, high) * (2 * np.pi / self.size)
        return omega


def _around_zero(circular: NDArray[Any], reach: float) -> NDArray[Any]:
    """Lags -reach…reach of a circular correlation, zero in the middle."""
    count = min(math.ceil(reach), (len(circular) - 1) // 2)
    return np.concatenate([circular[len(circular) - count :], circular[: count + 1]])


def _envelope_delay(ref: Samples, dec: Samples, rate: int) -> float | None:
    """Delay in samples by the envelopes' correlation; None when those do not agree either."""
    from scipy import fft

    frame = max(rate // ENVELOPE_HZ, 1)
    reference, decoded = _envelope(ref, frame), _envelope(dec, frame)
    reach = min(int(SEARCH_S * rate / frame), len(reference))
    size = fft.next_fast_len(max(len(reference), len(decoded)) + reach + 1, real=True)
    cross = fft.rfft(reference, size).conj() * fft.rfft(decoded, size)
    lags = _around_zero(fft.irfft(cross, size), reach)
    energy = float((reference**2).sum() * (decoded**2).sum())
    best = int(np.argmax(lags))
    if energy <= 0 or lags[best] < ENVELOPE_TRUST * math.sqrt(energy):
        return None
    offset = 0.0
    if 0 < best < len(lags) - 1:
        before, here, after = (float(lags[best + k]) for k in (-1, 0, 1))
        bend = before - 2 * here + after
        offset = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return (best - len(lags) // 2 + offset) * frame


def _envelope(samples: Samples, frame: int) -> NDArray[np.float64]:
    """Square root of the amplitude in frames of 1 ms, smoothed over 10 ms, its mean removed."""
    count = max(samples.shape[1] // frame, 1)
    framed = fit_length(samples, count * frame).reshape(samples.shape[0], count, frame)
    power = np.einsum("ctf,ctf->t", framed, framed).astype(np.float64)
    smooth = np.convolve(power, np.hanning(12)[1:-1], mode="same")[:count]
    level: NDArray[np.float64] = np.sqrt(np.sqrt(np.maximum(smooth, 0.0)))
    level -= level.mean()
    return level


def _shift(samples: Samples, delay: int, length: int) -> Samples:
    if delay >= 0:
        return fit_length(samples[:, delay:], length)
    return fit_length(np.pad(samples, ((0, 0), (-delay, 0))), length)


def _sounds(samples: Samples) -> bool:
    """Finite, and neither empty nor digital silence."""
    return bool(samples.size and np.isfinite(samples).all() and np.any(samples))


def _power(spectrum: NDArray[np.complex64]) -> NDArray[np.float32]:
    power: NDArray[np.float32] = (spectrum.real**2 + spectrum.imag**2).sum(axis=0)
    return power


def _clip(samples: Samples, decoded: Clip, reference: Clip) -> Clip:
    return Clip(samples, decoded.sample_rate_hz, decoded.id or reference.id, reference.tags)
