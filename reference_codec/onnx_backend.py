"""Runs exported models with ONNX Runtime, without importing torch."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from reference_codec.backend import Samples
from reference_codec.config import CodecConfig, SEANetConfig
from reference_codec.entropy import Ints
from reference_codec.errors import UserError

# Pieces of streams run in tiles whose widest layers stay in the processor's cache.
TILE_SAMPLES = 24_000

PARTS = ("encoder", "decoder")
QUIETEST = 1e-8  # as in neural_codec.py

State = tuple[NDArray[np.float32], ...]
Feed = dict[str, NDArray[Any]]


class OnnxBackend:
    """The model that `export` wrote into a directory. See `backend.Backend`.

    Args:
        threads: by default what OMP_NUM_THREADS says, or one per core.
        watch: told the part and all that it is fed, before each run of a network.
    Raises:
        UserError: no exported model there, or one that ONNX Runtime refuses.
    """

    def __init__(
        self,
        directory: str | Path,
        threads: int | None = None,
        watch: Callable[[str, Feed], None] = lambda part, feed: None,
    ) -> None:
        self._directory, self._watch = Path(directory), watch
        self._threads = threads or int(os.environ.get("OMP_NUM_THREADS") or 0)
        self._networks: dict[str, _Network] = {}
        parts = [part for part in PARTS if (self._directory / f"{part}.onnx").is_file()]
        if not parts:
            raise UserError(
                f"{directory}: no encoder.onnx or decoder.onnx. 'nac export' writes them."
            )
        network = self._network(parts[0])
        self.config = network.config
        self.weights_sha256 = network.weights_sha256
        self.start_frames = network.start_frames
        self.precision, self.effect = network.precision, network.effect

    def encode_segment(self, audio: Samples, n_codebooks: int) -> tuple[Ints, Samples | None]:
        scale = None
        if self.config.normalise:
            level = np.sqrt(np.square(audio.mean(1)).mean(1)) + np.float32(QUIETEST)
            scale, audio = level, audio / level[:, None, None]
        if self.config.network.causal:
            audio = np.pad(audio, ((0, 0), (0, 0), (0, self.config.delay_length)))
            return self.encode_step(audio, (), n_codebooks, last=True)[0], scale
        if not isinstance(self.config.network, SEANetConfig):
            missing = -audio.shape[2] % self.config.hop_length
            audio = np.pad(audio, ((0, 0), (0, 0), (0, missing)))
        return self._encode(audio, (), n_codebooks)[0], scale

    def decode_segment(self, codes: Ints, scale: Samples | None) -> Samples:
        if self.config.network.causal:
            return self.decode_step(codes, ())[0][:, :, self.config.delay_length :]
        audio, _ = self._decode(codes, ())
        missing = codes.shape[2] * self.config.hop_length - audio.shape[2]
        audio = np.pad(audio, ((0, 0), (0, 0), (0, missing)))
        return audio if scale is None else audio * scale[:, None, None]

    def encode_step(
        self, audio: Samples, state: Any, n_codebooks: int, last: bool
    ) -> tuple[Ints, State]:
        """Pieces may be of any length; the graph itself completes what is no whole hop."""
        frames = max(self.start_frames, TILE_SAMPLES // self.config.hop_length)
        cuts = range(
            frames * self.config.hop_length, audio.shape[2], frames * self.config.hop_length
        )
        codes = []
        for tile in np.split(audio, list(cuts), axis=2):
            tile_codes, state = self._encode(tile, state, n_codebooks)
            codes.append(tile_codes)
        return np.concatenate(codes, axis=2), state

    def decode_step(self, codes: Ints, state: Any) -> tuple[Samples, State]:
        frames = max(self.start_frames, TILE_SAMPLES // self.config.hop_length)
        cuts = range(frames, codes.shape[2], frames)
        audio = []
        for tile in np.split(codes, list(cuts), axis=2):
            tile_audio, state = self._decode(tile, state)
            audio.append(tile_audio)
        return np.concatenate(audio, axis=2), state

    def _encode(self, audio: Samples, state: State, n_codebooks: int) -> tuple[Ints, State]:
        inputs = {"audio": audio, "n_codebooks": np.array(n_codebooks)}
        codes, state = self._network("encoder").run(inputs, state, "codes", audio.shape[0])
        return codes.reshape(n_codebooks, audio.shape[0], -1).transpose(1, 0, 2), state

    def _decode(self, codes: Ints, state: State) -> tuple[Samples, State]:
        return self._network("decoder").run({"codes": codes}, state, "audio", codes.shape[0])

    def _network(self, part: str) -> _Network:
        if part not in self._networks:  # encoding alone need not load the decoder
            path = self._directory / f"{part}.onnx"
            network = _Network(path, self._threads, functools.partial(self._watch, part))
            if self._networks and network.weights_sha256 != self.weights_sha256:
                raise UserError(f"{path}: has other weights than the file beside it.")
            self._networks[part] = network
        return self._networks[part]


class _Network:
    """One graph and the state that its layers carry from piece to piece."""

    def __init__(self, path: Path, threads: int, watch: Callable[[Feed], None]) -> None:
        self._watch = watch
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
            description = self._session.get_modelmeta().custom_metadata_map
            self.config = CodecConfig.from_json(description["config"])
            self.weights_sha256: str = description["weights_sha256"]
            self.start_frames = int(description["start_frames"])
            self.precision: str = description.get("precision", "float32")
            self.effect: str = description.get("effect", "")
            self._state_shapes: list[list[int | str]] = json.loads(description["states"])
        except UserError:
            raise
        except Exception as error:  # ONNX Runtime's errors share no base class of their own
            reason = str(error).splitlines()[0]
            raise UserError(f"{path}: not a model that 'nac export' wrote ({reason}).") from error
        self._takes_first = any(known.name == "first" for known in self._session.get_inputs())
        self._next = [f"next_{index}" for index in range(len(self._state_shapes))]

    def run(
        self, inputs: Feed, state: State, output: str, batch: int
    ) -> tuple[NDArray[Any], State]:
        # Copied only where it is a view: ONNX Runtime reads memory as it lies.
        feed = {name: np.asarray(value, order="C") for name, value in inputs.items()}
        if self._takes_first:
            feed["first"] = np.array([not state], np.int64)
        if not state:
            state = tuple(
                np.zeros([batch if size == "batch" else int(size) for size in shape], np.float32)
                for shape in self._state_shapes
            )
        feed |= {f"state_{index}": value for index, value in enumerate(state)}
        self._watch(feed)
        result, *following = self._session.run([output, *self._next], feed)
        return result, tuple(following)
