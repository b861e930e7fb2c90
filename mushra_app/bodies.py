"""What the browser gets for a signal: exact samples in a body that looks like any other.

All bodies of a study have one length, none compresses, and the hidden reference differs from the
open one in every byte. `player/pcm.js` reads them and describes the layout. It is a curtain, not a
lock: who writes a program in the page can compare the samples.
"""

from __future__ import annotations

import secrets
import struct
from collections import OrderedDict
from pathlib import Path
from threading import Lock

import numpy as np
import soundfile
from numpy.typing import NDArray

from mushra_app.study import Stimulus, Study

MAGIC = b"nPCM"
KEY_BYTES = 4
HEADER_BYTES = 16
KEPT_BYTES = 256 * 2**20  # of parsed audio, shared by all listeners
BITS = {"PCM_16": 16, "PCM_24": 24, "FLOAT": 32}  # of a sample as it travels, by WAV subtype


class Bodies:
    """The bodies of one study's signals."""

    def __init__(self, study: Study) -> None:
        self._study = study
        infos = [
            soundfile.info(study.audio_path(stimulus))
            for item in study.all_items
            for stimulus in item.stimuli
        ]
        # One sample format for all, or the padding would have to hide a factor of two.
        self.bits = max(BITS.get(info.subtype, 32) for info in infos)
        largest = max(info.frames * info.channels for info in infos) * self.bits // 8
        self.length = KEY_BYTES + -(-(HEADER_BYTES + largest) // 4) * 4
        self._kept: OrderedDict[Path, bytes] = OrderedDict()
        self._lock = Lock()

    def body(self, stimulus: Stimulus) -> bytes:
        """A fresh body: the same signal never looks the same twice."""
        plain = self._plain(self._study.audio_path(stimulus))
        size = self.length - KEY_BYTES
        padded = plain + secrets.token_bytes(size - len(plain))
        key = secrets.randbits(32)
        words = np.frombuffer(padded, "<u4") ^ keystream(key, size // 4)
        return struct.pack("<I", key) + words.tobytes()

    def _plain(self, path: Path) -> bytes:
        with self._lock:
            if path in self._kept:
                self._kept.move_to_end(path)
                return self._kept[path]
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        frames, channels = samples.shape
        header = MAGIC + struct.pack("<HHII", channels, self.bits, rate, frames)
        plain = header + pcm(samples, self.bits)
        with self._lock:
            self._kept[path] = plain
            while sum(map(len, self._kept.values())) > KEPT_BYTES and len(self._kept) > 1:
                self._kept.popitem(last=False)
        return plain


def pcm(samples: NDArray[np.float32], bits: int) -> bytes:
    """Interleaved little-endian samples; exact for what came from a WAV of at most `bits`."""
    if bits == 32:
        return samples.astype("<f4").tobytes()
    full_scale = 2 ** (bits - 1)
    whole = np.rint(samples.astype(np.float64) * full_scale).clip(-full_scale, full_scale - 1)
    octets: NDArray[np.uint8] = whole.astype("<i4").reshape(-1, 1).view(np.uint8)
    return octets[:, : bits // 8].tobytes()


def keystream(key: int, words: int) -> NDArray[np.uint32]:
    """What the words of a body are combined with (exclusive or).

    A counter through murmur3's finaliser, so that it can be computed at once.
    """
    x = (np.arange(1, words + 1, dtype=np.uint32) * np.uint32(0x9E3779B9)) + np.uint32(key)
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    keys: NDArray[np.uint32] = x ^ (x >> np.uint32(16))
    return keys
