"""`.nac` version 1 to codes, written from docs/nac-format.md alone: no NumPy, nothing of ours.

It proves that the page is enough, and that the tables of codings 1 and 2 need no float library.
"""

import json
import math
import struct
from decimal import Decimal, getcontext

getcontext().prec = 50
Tables = dict[str, list]
TWO16 = 1 << 16


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)  # 0x1EDC6F41 reflected
    return crc ^ 0xFFFFFFFF


class Bytes:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        self.at += count
        assert self.at <= len(self.data)
        return self.data[self.at - count : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.number(1)
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value


def read(data: bytes, tables: Tables | None = None) -> tuple[dict, list[list[int]]]:
    """Metadata, and the symbols of every frame: each stream, each codebook."""
    file = Bytes(data)
    assert file.take(4) == b"NAC\x01"
    end = 9 + file.number(4)
    meta: dict = {"kbps": file.number(1)}
    assert crc32c(data[: end - 4]) == int.from_bytes(data[end - 4 : end], "big")
    flags = file.number(1)
    meta["model"], meta["weights"] = file.take(file.number(1)).decode(), file.take(4)
    meta["coded_rate"], meta["hop"] = file.varint(), file.varint()
    meta["rate"] = file.varint() if flags & 1 else meta["coded_rate"]
    meta["channels"], streams, codebooks = file.number(1), file.number(1), file.number(1)
    sizes = [file.varint() for _ in range(codebooks)] if flags & 2 else [file.varint()] * codebooks
    file.take(1)  # the richest coding
    meta["gain"] = struct.unpack(">f", file.take(4))[0] if flags & 4 else 1.0
    meta["samples"] = None if flags & 8 else file.varint()
    assert file.at == end - 4
    file.take(4)
    meta |= {"streams": streams, "sizes": sizes, "scales": []}
    frames: list[list[int]] = []
    while file.at < len(data):
        assert file.number(1) == 0xA7
        start = file.at
        flags, first, count = file.number(1), file.varint(), file.varint()
        assert first == len(frames)
        if flags & 4:
            meta["scales"].append(struct.unpack(f">{streams}f", file.take(4 * streams)))
        if flags & 8:
            meta["samples"] = file.varint()
        payload = file.take(file.varint())
        assert crc32c(data[start : file.at]) == file.number(4)
        if flags & 3 == 0:
            frames += packed(payload, count, sizes * streams)
        elif flags & 3 == 1:
            frames += adaptive(RangeDecoder(payload), count, sizes * streams)
        else:
            assert tables is not None
            frames += neural(RangeDecoder(payload), count, codebooks, streams, tables)
    return meta, frames


def packed(payload: bytes, count: int, sizes: list[int]) -> list[list[int]]:
    widths = [math.ceil(math.log2(size)) for size in sizes]
    bits = "".join(f"{byte:08b}" for byte in payload)
    at, frames = 0, []
    for _ in range(count):
        frame = []
        for width in widths:
            frame.append(int(bits[at : at + width], 2))
            at += width
        frames.append(frame)
    assert len(payload) == -(-at // 8)
    return frames


class RangeDecoder:
    def __init__(self, payload: bytes) -> None:
        self.payload = iter(payload)
        self.range, self.code = 2**32 - 1, 0
        for _ in range(4):
            self.code = self.code << 8 | next(self.payload, 0)

    def symbol(self, frequencies: list[int]) -> int:
        assert sum(frequencies) == TWO16
        unit = self.range >> 16
        target = min(self.code // unit, TWO16 - 1)
        symbol = start = 0
        while target >= start + frequencies[symbol]:
            start += frequencies[symbol]
            symbol += 1
        self.code -= unit * start
        last = start + frequencies[symbol] == TWO16
        self.range = self.range - unit * start if last else unit * frequencies[symbol]
        while self.range < 2**24:
            self.range <<= 8
            self.code = self.code << 8 | next(self.payload, 0)
        return symbol


def adaptive(coder: RangeDecoder, count: int, sizes: list[int]) -> list[list[int]]:
    counts = [[1] * size for size in sizes]
    repeats, seen = [1] * len(sizes), [16] * len(sizes)
    frames: list[list[int]] = []
    for t in range(count):
        frame = []
        for k, size in enumerate(sizes):
            previous = frames[t - 1][k] if t else None
            total = sum(counts[k])
            lent = 0 if previous is None else total * repeats[k] // (seen[k] - repeats[k] + 1)
            f = [
                1 + (n + (lent if i == previous else 0)) * (TWO16 - size) // (total + lent)
                for i, n in enumerate(counts[k])
            ]
            f[f.index(max(f))] += TWO16 - sum(f)
            symbol = coder.symbol(f)
            frame.append(symbol)
            counts[k][symbol] += 24
            if sum(counts[k]) >= 2**15:
                counts[k] = [(n + 1) >> 1 for n in counts[k]]
            if previous is not None:
                seen[k] += 1
                repeats[k] += symbol == previous
                if seen[k] >= 255:
                    repeats[k], seen[k] = (repeats[k] + 1) >> 1, (seen[k] + 1) >> 1
        frames.append(frame)
    return frames


def read_tables(data: bytes) -> Tables:
    """The prior's safetensors file as nested lists."""
    head = 8 + int.from_bytes(data[:8], "little")
    tables = {}
    for name, entry in json.loads(data[8:head]).items():
        first, last = (head + offset for offset in entry["data_offsets"])
        kind = {"I8": "b", "I16": "h", "I32": "i", "I64": "q"}[entry["dtype"]]
        size = struct.calcsize(f"<{kind}")
        flat: list = list(struct.unpack(f"<{(last - first) // size}{kind}", data[first:last]))
        for length in entry["shape"][:0:-1]:
            flat = [flat[i : i + length] for i in range(0, len(flat), length)]
        tables[name] = flat
    return tables


def _tanh(p: int) -> int:
    e = ((Decimal(2 * p) + 1) / Decimal("63.5")).exp()
    return int((127 * (e - 1) / (e + 1)).to_integral_value())


TANH = [_tanh(p) for p in range(-256, 256)]
EXP = [
    int((2**24 * (-Decimal(d) / Decimal("63.5")).exp()).to_integral_value()) for d in range(1024)
]


def squash(values: list[int]) -> list[int]:
    return [TANH[min(max(p, -256), 255) + 256] for p in values]


def times(vector: list[int], matrix: list[list[int]], shift: int) -> list[int]:
    columns = zip(*matrix, strict=True)
    return [sum(map(int.__mul__, vector, column)) >> shift for column in columns]


def plus(a: list[int], b: list[int]) -> list[int]:
    return [x + y for x, y in zip(a, b, strict=True)]


def neural(
    coder: RangeDecoder, count: int, codebooks: int, streams: int, w: Tables
) -> list[list[int]]:
    width, layers = len(w["depth"]), sum(name.startswith("mix.") for name in w)
    zeros = [0] * width
    given: list[list[list[list[int]]]] = [[[] for _ in range(layers)] for _ in range(streams)]
    frames: list[list[int]] = []
    for t in range(count):
        frame: list[int] = []
        for s in range(streams):
            x = zeros
            if t:
                for k, code in enumerate(frames[t - 1][s * codebooks : (s + 1) * codebooks]):
                    x = plus(x, w["embed"][k][code])
                x = squash(x)
            for i in range(layers):
                given[s][i].append(x)
                earlier = given[s][i][t - 2**i] if t >= 2**i else zeros
                m = times(x + earlier, w[f"mix.{i}"], 9)
                added = times(squash(plus(m, w[f"mix_bias.{i}"])), w[f"out.{i}"], 8)
                x = [min(max(v, -127), 127) for v in plus(x, added)]
            a = times(x, w["depth"], 9)
            for k in range(codebooks):
                h = times(squash(plus(a, w["depth_bias"][k])), w["hidden"], 9)
                h = squash(plus(h, w["hidden_bias"][k]))
                logits = plus(times(h, w["logits"][k], 9), w["logit_bias"][k])
                below = [max(logits) - value for value in logits]
                g = [EXP[d] if d < 1024 else 0 for d in below]
                f = [1 + value * (TWO16 - len(g)) // sum(g) for value in g]
                f[logits.index(max(logits))] += TWO16 - sum(f)
                frame.append(coder.symbol(f))
                a = plus(a, w["depth_embed"][k][frame[-1]])
        frames.append(frame)
    return frames
