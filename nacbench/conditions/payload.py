"""What a transport does to a payload on its way: lost packets, wrong bits, an early end.

These act between encode and decode, on the bytes that were really written, of codecs that declare
packets. A lost packet arrives with no bytes; a codec that conceals losses fills the gap, any other
refuses the payload. The first packet is the set-up that a call negotiates beforehand: it arrives.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from nacbench.core import Bitstream

Mask = NDArray[np.bool_]


class Loss:
    """Packet loss: each packet on its own (Bernoulli), or in bursts (Gilbert-Elliott).

    With `burst`, a Markov chain with a good and a bad state goes one step per packet, beginning in
    its stationary distribution. A packet is lost with probability `in_burst` in the bad state and
    `between` in the good one; `burst` is the mean stay in the bad state, in packets. With the
    defaults (Gilbert's model) that is the mean length of a run of lost packets.

    Args:
        rate: share of packets lost in the long run, 0…1.
        burst: mean burst length in packets, at least 1; None: packets are lost independently.
        in_burst, between: loss probability in the bad and in the good state.
    Source: Gilbert, BSTJ 39, 1960; Elliott, BSTJ 42, 1963. Differs: loss of packets, not of bits.
    """

    def __init__(
        self,
        rate: float,
        burst: float | None = None,
        in_burst: float = 1.0,
        between: float = 0.0,
    ) -> None:
        _check_share("rate", rate)
        _check_share("in_burst", in_burst)
        _check_share("between", between)
        self._rate, self._burst = rate, burst
        self._in_burst, self._between = in_burst, between
        self.label = f"{100 * rate:.4g} %"
        if burst is None:
            if (in_burst, between) != (1.0, 0.0):
                raise ValueError("in_burst and between belong to bursts; give burst too")
            return
        if not between <= rate < in_burst and rate > 0:
            raise ValueError(
                f"rate must lie between 'between' and 'in_burst', "
                f"got {rate:g} outside {between:g}…{in_burst:g}"
            )
        self._bad = (rate - between) / (in_burst - between) if rate else 0.0
        if burst < 1 or self._bad > burst / (1 + burst):
            raise ValueError(
                f"burst must be at least {max(1.0, self._bad / (1 - self._bad)):.3g} packets "
                f"at this rate, got {burst:g}"
            )
        self.label += f", bursts of {burst:g}"
        if (in_burst, between) != (1.0, 0.0):
            self.label += f", {100 * in_burst:.4g} % in and {100 * between:.4g} % between them"

    def lost(self, packets: int, rng: np.random.Generator) -> Mask:
        """Which of so many packets in a row are lost, `[packets]`.

        From one state of the generator a higher Bernoulli rate loses the same packets and more.
        """
        chance = rng.random(packets)
        if self._burst is None:
            return np.asarray(chance < self._rate)
        return np.asarray(
            chance < np.where(self._bad_states(packets, rng), self._in_burst, self._between)
        )

    def _bad_states(self, packets: int, rng: np.random.Generator) -> Mask:
        assert self._burst is not None
        leave = 1 / self._burst
        enter = leave * self._bad / (1 - self._bad)
        step = rng.random(packets)
        states = np.zeros(packets, bool)
        bad = bool(rng.random() < self._bad)
        for index in range(packets):
            states[index] = bad
            bad = step[index] >= leave if bad else step[index] < enter
        return states

    def damage(self, stream: Bitstream, rng: np.random.Generator) -> Bitstream:
        setup, *packets = stream.packets()
        lost = self.lost(len(packets), rng)
        return _arrived(
            stream,
            [setup, *(b"" if gone else packet for packet, gone in zip(packets, lost, strict=True))],
        )


class BitErrors:
    """Wrong bits: each bit of each packet is inverted with probability `rate`, independently.

    Args:
        rate: bit error rate, 0…0.5.
    """

    def __init__(self, rate: float) -> None:
        _check_share("rate", rate, most=0.5)
        self._rate = rate
        self.label = f"{rate:.4g}"

    def damage(self, stream: Bitstream, rng: np.random.Generator) -> Bitstream:
        setup, *packets = stream.packets()
        return _arrived(stream, [setup, *(self._inverted(packet, rng) for packet in packets)])

    def _inverted(self, packet: bytes, rng: np.random.Generator) -> bytes:
        errors = rng.random(8 * len(packet)) < self._rate
        bits = np.frombuffer(packet, np.uint8) ^ np.packbits(errors)
        return bits.tobytes()


class Truncation:
    """An early end: the packets that fit into the first `kept` of the bytes arrive, no others.

    Args:
        kept: share of the payload's bytes, set-up left aside, 0…1.
    """

    def __init__(self, kept: float) -> None:
        _check_share("kept", kept)
        self._kept = kept
        self.label = f"{100 * kept:.4g} % kept"

    def damage(self, stream: Bitstream, rng: np.random.Generator) -> Bitstream:
        setup, *packets = stream.packets()
        arriving = round(self._kept * sum(map(len, packets)))
        ends = itertools.accumulate(map(len, packets))
        arrived = [
            packet if end <= arriving else b"" for packet, end in zip(packets, ends, strict=True)
        ]
        return _arrived(stream, [setup, *arrived])


def _arrived(sent: Bitstream, packets: list[bytes]) -> Bitstream:
    return Bitstream(b"".join(packets), tuple(map(len, packets)), sent.container_bytes)


def _check_share(name: str, value: float, most: float = 1.0) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
        raise ValueError(f"{name} must lie in 0…{most:g}, got {value!r}")
