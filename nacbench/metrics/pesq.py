"""Perceptual evaluation of speech quality, PESQ, through the `pesq` package (ITU-T's C code).

It was made for telephony: it aligns each utterance in time, ignores level, and knows nothing of
vocoders, music or bands above 8 kHz. The C code keeps its state in globals and holds 50
utterances; beyond that it writes past its arrays. Hence processes only, and a check before.
"""

from __future__ import annotations

import importlib.util

import numpy as np
from numpy.typing import NDArray

from nacbench.core import Clip
from nacbench.errors import UnscorableError

SAMPLE_RATE_HZ = 16000
SHORTEST_S = 0.25

# The code's voice activity, in frames of 4 ms: bursts of at most 4 frames are dropped, gaps of at
# most 50 are bridged, and what lasts 50 is an utterance. It filters before, so leave some room.
FRAME_LENGTH = 64
LONGEST_BLIP = 4
LONGEST_GAP = 50
SHORTEST_UTTERANCE = 40
MOST_UTTERANCES = 45
SAFE_LENGTH = MOST_UTTERANCES * (SHORTEST_UTTERANCE + LONGEST_GAP) * FRAME_LENGTH  # 16.2 s


class _Pesq:
    version = "1"
    unit = "MOS-LQO"
    higher_is_better = True
    sample_rate_hz = SAMPLE_RATE_HZ
    mono = True
    domain = "speech"
    mode: str

    @classmethod
    def missing(cls) -> str | None:
        if importlib.util.find_spec("pesq") is None:
            return "the package 'pesq' is missing. 'pip install pesq' needs a C compiler."
        return None

    def build_id(self) -> str:
        from importlib.metadata import version

        return f"pesq {version('pesq')}"

    def prepare(self, reference: Clip) -> NDArray[np.float64]:
        samples: NDArray[np.float64] = reference.samples[0].astype(np.float64)
        if samples.size < SHORTEST_S * SAMPLE_RATE_HZ:
            raise UnscorableError(f"too short: PESQ needs {SHORTEST_S} s of speech")
        if not samples.any():
            raise UnscorableError("the reference is silent")
        if samples.size > SAFE_LENGTH and utterances_at_most(samples) > MOST_UTTERANCES:
            raise UnscorableError(
                "too long: it may hold more than the 50 utterances that PESQ has room for. "
                "Cut it into parts of 8 to 12 s."
            )
        return samples

    def score(self, prepared: NDArray[np.float64], decoded: Clip) -> float:
        import pesq

        samples = decoded.samples[0].astype(np.float64)
        if not samples.any():
            raise UnscorableError("the decoded audio is silent")
        try:
            return float(pesq.pesq(SAMPLE_RATE_HZ, prepared, samples, self.mode))
        except pesq.NoUtterancesError:
            raise UnscorableError("PESQ finds no speech in the reference") from None
        except pesq.PesqError as error:
            raise UnscorableError(f"PESQ: {_text(error)}") from error
        except ValueError as error:  # its wrapper compares a NaN
            raise UnscorableError(f"PESQ's value is not a number ({error})") from error


class PesqWideband(_Pesq):
    """PESQ for wideband speech, mapped to MOS-LQO.

    Source: ITU-T P.862 (02/2001) with P.862.2 (11/2007). Differs: none.
    """

    name = "pesq:wb"
    bounds = (0.999, 4.65)
    source = "ITU-T P.862.2 (11/2007)"
    mode = "wb"


class PesqNarrowband(_Pesq):
    """PESQ behind a telephone's receive filter, mapped to MOS-LQO.

    Source: ITU-T P.862 (02/2001) with P.862.1 (11/2003). Differs: none; at 16 kHz.
    """

    name = "pesq:nb"
    bounds = (0.999, 4.55)
    source = "ITU-T P.862.1 (11/2003)"
    mode = "nb"


def utterances_at_most(samples: NDArray[np.float64]) -> int:
    """Utterances that the reference has at the threshold at which it has most, in 1 dB steps."""
    frames = samples[: samples.size // FRAME_LENGTH * FRAME_LENGTH].reshape(-1, FRAME_LENGTH)
    power = np.mean(frames**2, axis=1)
    thresholds = power.max() * 10 ** (-np.arange(1, 80) / 10)
    return max(_utterances(power > threshold) for threshold in thresholds)


def _utterances(active: NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(active, prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    lasting = ends - starts > LONGEST_BLIP
    starts, ends = starts[lasting], ends[lasting]
    apart = starts[1:] - ends[:-1] > LONGEST_GAP
    lengths = (
        ends[np.append(apart, True)[: ends.size]] - starts[np.append(True, apart)[: starts.size]]
    )
    return int(np.count_nonzero(lengths >= SHORTEST_UTTERANCE))


def _text(error: Exception) -> str:
    """The C code's message, which arrives as bytes."""
    message = error.args[0] if error.args else type(error).__name__
    return message.decode() if isinstance(message, bytes) else str(message)
