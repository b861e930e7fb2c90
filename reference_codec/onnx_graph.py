"""Our layers as ONNX operators, written out by hand.

A tracer would freeze lengths, hide the state and miss what makes ONNX Runtime fast on a CPU:

- time is the last of four dimensions, `[batch, channels, 1, time]`, because only its
  two-dimensional convolutions use a blocked layout, which is up to twice as fast;
- a transposed convolution whose kernel is twice its stride is a convolution over two frames with
  `stride` times the channels, whose outputs are then interleaved;
- ELU is composed of operators that are vectorised there; its own is not;
- Snake's factors are folded into the convolutions beside it, which leaves two passes of its five
  besides the sine;
- a convolution with one tap is a matrix product on three dimensions, where its neighbours run, and
  not on a blocked layout of its own.

Lengths stay dynamic, so one graph codes whole clips, pieces of streams and ragged ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from reference_codec.layers import LSTM, Conv1d, ConvTranspose1d, Snake

OPSET = 17
IR_VERSION = 8  # the first that has every operator here, so that old runtimes load it
TIME = 3
LEAST_ALPHA = 1e-6
END = 2**62  # past the last sample of any signal


class Graph:
    """Collects operators and weights. Calling it adds an operator and names its output.

    Args:
        streams: layers take what they remember as inputs and give it back as outputs.
    """

    def __init__(self, streams: bool) -> None:
        self.streams = streams
        self.state_shapes: list[list[int | str]] = []
        self._count = 0
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[str, onnx.TensorProto] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def __call__(self, operator: str, *inputs: str, **attributes: Any) -> str:
        return self.many(operator, inputs, 1, **attributes)[0]

    def many(self, operator: str, inputs: Sequence[str], n: int, **attributes: Any) -> list[str]:
        self._count += 1
        outputs = [f"{operator}_{self._count}_{index}" for index in range(n)]
        node = helper.make_node(operator, list(inputs), outputs, name=outputs[0], **attributes)
        self._nodes.append(node)
        return outputs

    def ints(self, *values: int) -> str:
        return self._constant(np.array(values, np.int64))

    def number(self, value: float) -> str:
        return self._constant(np.array(value, np.float32))

    def weight(self, name: str, value: Tensor | NDArray[Any]) -> str:
        if name not in self._weights:
            array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
            self._weights[name] = numpy_helper.from_array(np.array(array, order="C"), name)
        return name

    def input(self, name: str, shape: Sequence[int | str], dtype: int = TensorProto.FLOAT) -> str:
        self._inputs.append(helper.make_tensor_value_info(name, dtype, list(shape)))
        return name

    def output(
        self, name: str, value: str, shape: Sequence[int | str], dtype: int = TensorProto.FLOAT
    ) -> None:
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, dtype, list(shape)))

    def recall(self, *shape: int | str) -> str:
        """What the layer remembers from the previous piece; zeros before the first."""
        self.state_shapes.append(list(shape))
        return self.input(f"state_{len(self.state_shapes) - 1}", shape)

    def remember(self, state: str, value: str) -> None:
        """What the layer will be given back as `state` with the next piece."""
        shape = self.state_shapes[int(state.removeprefix("state_"))]
        self.output(state.replace("state", "next"), value, shape)

    def first(self) -> str:
        """1 for the first piece of a stream, 0 for the others, `[1]`."""
        if not any(known.name == "first" for known in self._inputs):
            self.input("first", [1], TensorProto.INT64)
        return "first"

    def length(self, x: str) -> str:
        return self("Shape", x, start=TIME, end=TIME + 1)

    def slice(self, x: str, start: str, stop: str, step: int = 1) -> str:
        return self("Slice", x, start, stop, self.ints(TIME), self.ints(step))

    def join(self, *parts: str) -> str:
        return self("Concat", *parts, axis=TIME)

    def zeros_before(self, x: str, n: str) -> str:
        """`x` with `n` zeros in front."""
        nothing = self.ints(0, 0, 0)
        return self("Pad", x, self("Concat", nothing, n, nothing, self.ints(0), axis=0))

    def repeat(self, times: str, carried: str, body: Callable[[str, str], tuple[str, str]]) -> str:
        """Run `body` as often as the scalar `times` says.

        Args:
            carried: what the first round is given.
            body: takes the round's number and what the round before carried on; gives what is
                carried on and what is collected.
        Returns:
            What all rounds collected, stacked.
        """
        outer, self._nodes = self._nodes, []
        round_number, given, going = (
            f"{name}_{self._count}" for name in ("round", "given", "going")
        )
        carried_on, collected = body(round_number, given)
        going_on = self("Identity", going)
        inputs = [
            helper.make_tensor_value_info(round_number, TensorProto.INT64, []),
            helper.make_tensor_value_info(going, TensorProto.BOOL, []),
            helper.make_tensor_value_info(given, TensorProto.FLOAT, None),
        ]
        outputs = [
            helper.make_tensor_value_info(going_on, TensorProto.BOOL, []),
            helper.make_tensor_value_info(carried_on, TensorProto.FLOAT, None),
            helper.make_tensor_value_info(collected, TensorProto.INT64, None),
        ]
        graph = helper.make_graph(self._nodes, "round", inputs, outputs)
        self._nodes = outer
        return self.many("Loop", [times, "", carried], 2, body=graph)[1]

    def backwards(self, x: str, start: str, n: str) -> str:
        """`n` samples of `x` from `start` on, going back."""
        stop = self("Sub", start, n)
        # -1, meaning "before the first", would be read as "the last".
        stop = self("Where", self("Less", stop, self.ints(0)), self.ints(-END), stop)
        return self.slice(x, start, stop, -1)

    def model(self, metadata: dict[str, str]) -> onnx.ModelProto:
        weights = list(self._weights.values())
        graph = helper.make_graph(self._nodes, "codec", self._inputs, self._outputs, weights)
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        helper.set_model_props(model, metadata)
        return model

    def _constant(self, value: NDArray[Any]) -> str:
        key = (value.dtype.str, value.shape, value.tobytes())
        if key not in self._constants:
            self._constants[key] = self.weight(f"constant_{len(self._constants)}", value)
        return self._constants[key]


def convolution(
    g: Graph,
    name: str,
    layer: Conv1d,
    x: str,
    before: Tensor | None = None,
    after: Tensor | None = None,
) -> str:
    """Args:
    before, after: factors of its input and of its output, one per channel.
    """
    weights, biases = layer.weight, layer.bias
    if before is not None:
        weights = weights * before[:, None]
    if after is not None:
        weights, biases = weights * after[:, None, None], _bias(layer) * after
    weight = g.weight(f"{name}.weight", weights.unsqueeze(2))
    attributes: dict[str, Any] = {"strides": [1, layer.step], "dilations": [1, layer.dilation[0]]}
    attributes["group"] = layer.groups
    if g.streams:
        x = _continued(g, layer, x)
    elif layer.reflect:
        x = _mirrored(g, layer, x)
    elif layer.surround:
        attributes["pads"] = [0, layer.left, 0, layer.right]
    bias = [] if biases is None else [g.weight(f"{name}.bias", biases)]
    x = g("Conv", x, weight, *bias, **attributes)
    return x if layer.norm is None else _group_norm(g, name, layer, x)


def pointwise(g: Graph, name: str, layer: Conv1d, x: str, before: Tensor) -> str:
    """A convolution with one tap. `before`: factors of its input."""
    weight = g.weight(f"{name}.weight", layer.weight * before[:, None])
    bias = g.weight(f"{name}.bias", _bias(layer))
    return g("Unsqueeze", g("Conv", g("Squeeze", x, g.ints(2)), weight, bias), g.ints(2))


def _continued(g: Graph, layer: Conv1d, x: str) -> str:
    """A piece of a stream between the samples before it and what completes a ragged end."""
    if not layer.surround:
        return x
    left = layer.surround
    state = g.recall("batch", layer.in_channels, 1, left)
    before = state
    if layer.reflect:
        # x[left], …, x[1] of the first piece push the zeros out that its state holds; nothing of
        # a later piece does. In a short clip some zeros remain, as they must.
        start = g("Mul", g.ints(left), g.first())
        mirror = g.slice(x, start, g.ints(0), -1)
        before = g.slice(g.join(state, mirror), g.ints(-left), g.ints(END))
    parts = [before, x]
    if layer.step > 1:
        length = g.length(x)
        missing = g("Mod", g("Neg", length), g.ints(layer.step))
        ending = g.join(before, g.slice(x, g.ints(-layer.step), g.ints(END)))
        at = g("Sub", g.length(ending), g.ints(2))
        mirror = g.backwards(ending, at, missing)
        if layer.reflect:
            # A clip shorter than the kernel's reach is continued with zeros instead.
            short = g(
                "And",
                g("Cast", g.first(), to=TensorProto.BOOL),
                g("LessOrEqual", length, g.ints(left)),
            )
            mirror = g("Where", short, g.number(0), mirror)
        else:
            mirror = g("Mul", mirror, g.number(0))
        parts.append(mirror)
    whole = g.join(*parts)
    g.remember(state, g.slice(whole, g.ints(-left), g.ints(END)))
    return whole


def _mirrored(g: Graph, layer: Conv1d, x: str) -> str:
    """`layers.pad` with reflection: a clip too short for it is first continued with zeros."""
    if not layer.surround:
        return x
    length = g.length(x)
    right = g.ints(layer.right)
    if layer.step > 1:
        missing = g("Mod", g("Neg", length), g.ints(layer.step))
        right = g("Add", right, missing)
    longest = g("Max", g.ints(layer.left), right)
    short = g("Max", g("Sub", g("Add", longest, g.ints(1)), length), g.ints(0))
    before = g.slice(x, g.ints(layer.left), g.ints(0), -1)
    before = g.zeros_before(before, g("Sub", g.ints(layer.left), g.length(before)))
    # Behind x stand `short` zeros and their mirror image without the last, then x backwards;
    # without them x backwards starts one before its end.
    zeros = g("Max", g("Sub", g("Mul", short, g.ints(2)), g.ints(1)), g.ints(0))
    zeros = g("Min", zeros, right)
    whole = g("Cast", g("Equal", short, g.ints(0)), to=TensorProto.INT64)
    start = g("Sub", g("Sub", length, g.ints(1)), whole)
    after = g.zeros_before(g.backwards(x, start, g("Sub", right, zeros)), zeros)
    return g.join(before, x, after)


def transposed_convolution(
    g: Graph, name: str, layer: ConvTranspose1d, x: str, before: Tensor | None = None
) -> str:
    """Output sample s·t + j sums weight j times frame t and weight j + s times frame t - 1.

    Args:
        before: factors of its input, one per channel.
    """
    stride = layer.stride[0]
    assert layer.kernel_size[0] == 2 * stride, "as in all families here"
    weights = layer.weight if before is None else layer.weight * before[:, None, None]
    weight = weights.view(*layer.weight.shape[:2], 2, stride).flip(2)  # [in, out, frame, j]
    weight = weight.permute(1, 3, 0, 2).reshape(-1, layer.in_channels, 1, 2)
    bias = g.weight(f"{name}.bias", _bias(layer).repeat_interleave(stride))
    if g.streams:
        state = g.recall("batch", layer.in_channels, 1, 1)
        x = g.join(state, x)
        g.remember(state, g.slice(x, g.ints(-1), g.ints(END)))
        pads = [0, 0, 0, 0]
    else:
        pads = [0, 1, 0, 1]
    x = g("Conv", x, g.weight(f"{name}.weight", weight), bias, pads=pads)
    x = g("Reshape", x, g.ints(0, layer.out_channels, stride, -1))
    x = g("Transpose", x, perm=[0, 1, 3, 2])
    x = g("Reshape", x, g.ints(0, layer.out_channels, 1, -1))
    if layer.norm is not None:
        x = _group_norm(g, name, layer, x)
    if g.streams:
        return x
    return g.slice(x, g.ints(layer.trim_left), g.ints(-layer.trim_right or END))


def _group_norm(g: Graph, name: str, layer: Conv1d | ConvTranspose1d, x: str) -> str:
    """One group over all channels and time.

    Moments over time first, then over channels: summed in one go, as ONNX Runtime's own operator
    does, a million samples lose a digit.
    """
    assert layer.norm is not None
    scale = g.weight(f"{name}.norm.weight", layer.norm.weight[:, None, None])
    shift = g.weight(f"{name}.norm.bias", layer.norm.bias[:, None, None])
    mean = g("ReduceMean", g("ReduceMean", x, axes=[TIME]), axes=[1])
    length = g("Cast", g.length(x), to=TensorProto.FLOAT)
    power = g("Div", g("ReduceSumSquare", x, axes=[TIME]), length)
    variance = g("Sub", g("ReduceMean", power, axes=[1]), g("Mul", mean, mean))
    deviation = g("Sqrt", g("Add", variance, g.number(layer.norm.eps)))
    scale = g("Div", scale, deviation)
    return g("Add", g("Mul", x, scale), g("Sub", shift, g("Mul", mean, scale)))


def lstm(g: Graph, name: str, layer: LSTM, x: str) -> str:
    series = g("Transpose", g("Squeeze", x, g.ints(2)), perm=[2, 0, 1])
    size = layer.hidden_size
    memory: list[str] = []
    if g.streams:
        memory = [g.recall(layer.num_layers, "batch", size) for _ in range(2)]
    out, ends = series, []
    for level in range(layer.num_layers):
        input_weight, recurrent = (
            g.weight(f"{name}.{kind}_l{level}", _gates(getattr(layer, f"{kind}_l{level}"))[None])
            for kind in ("weight_ih", "weight_hh")
        )
        biases = [_gates(getattr(layer, f"bias_{kind}_l{level}")) for kind in ("ih", "hh")]
        bias = g.weight(f"{name}.bias_l{level}", np.concatenate(biases)[None])
        starts = [
            g("Slice", state, g.ints(level), g.ints(level + 1), g.ints(0)) for state in memory
        ]
        inputs = [out, input_weight, recurrent, bias, *(["", *starts] if starts else [])]
        out, *end = g.many("LSTM", inputs, 3, hidden_size=size)
        out = g("Squeeze", out, g.ints(1))
        ends.append(end)
    for state, values in zip(memory, zip(*ends, strict=True), strict=False):
        g.remember(state, g("Concat", *values, axis=0))
    out = g("Transpose", g("Add", out, series), perm=[1, 2, 0])
    return g("Unsqueeze", out, g.ints(2))


def _gates(weight: Tensor) -> NDArray[Any]:
    """PyTorch orders the gates input, forget, cell, output; ONNX input, output, forget, cell."""
    i, f, c, o = weight.detach().cpu().numpy().reshape(4, weight.shape[0] // 4, -1)
    return np.concatenate([i, o, f, c]).reshape(weight.shape)


def elu(g: Graph, x: str) -> str:
    # e^min(x, 0) - 1 is at least x below 0 and equals 0 above.
    below = g("Sub", g("Exp", g("Min", x, g.number(0))), g.number(1))
    return g("Max", x, below)


def snake(g: Graph, x: str) -> str:
    """αx to α times Snake's output, αx + sin²(αx): see `alpha`."""
    wave = g("Sin", x)
    return g("Add", x, g("Mul", wave, wave))


def alpha(layer: Snake) -> Tensor:
    """Its α per channel: a factor of what precedes `snake`, a divisor for what follows."""
    # A channel learnt to be linear has an α next to zero, by which nothing can be divided; with
    # this one its output is off by a millionth of its input's square.
    flat = layer.alpha[:, 0]
    return flat.where(flat.abs() > LEAST_ALPHA, flat.new_tensor(LEAST_ALPHA))


def _bias(layer: Conv1d | ConvTranspose1d) -> Tensor:
    assert layer.bias is not None
    return layer.bias
