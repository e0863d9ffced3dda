"""Writes ONNX graphs: the few messages of its format that a transformer needs.

The package `onnx` would do it too; it is 23 MB, and nothing else here needs it. Numbers of fields and types are those of
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

OPSET = 20  # the first with Gelu; ONNX Runtime 1.17 and newer
IR_VERSION = 9
_TYPES = {"float32": 1, "int64": 7}
_FLOAT, _INT, _INTS = 1, 2, 7  # kinds of attributes
_EXTERNAL = 1

Array = NDArray[Any]


class OnnxGraph:
    """A graph that is written node by node; calling it with an operator adds a node and returns its output's name.

    Weights are named, not copied: the session is given them beside the graph, from where they lie.
    """

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []
        self._weights = [
            _message(*_shape(array), (8, name), (13, _message((1, "location"), (2, "weights"))), (14, _EXTERNAL))
            for name, array in weights.items()
        ]

    def __call__(self, operator: str, *inputs: str, **attributes: float | Sequence[int]) -> str:
        output = f"{operator}_{len(self._nodes)}"
        written = [(5, _attribute(name, value)) for name, value in attributes.items()]
        self._nodes.append(_message(*((1, name) for name in inputs), (2, output), (4, operator), *written))
        return output

    def integers(self, *values: int) -> str:
        """Adds a constant vector of whole numbers."""
        return self._constant(np.array(values, np.int64))

    def number(self, value: float) -> str:
        """Adds a constant number."""
        return self._constant(np.array(value, np.float32))

    def _constant(self, array: Array) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(_message(*_shape(array), (8, name), (9, array.tobytes())))
        return name

    def model(self, inputs: Mapping[str, Sequence[str]], output: str) -> bytes:
        """Returns the serialised model.

        Args:
            inputs: Names of the axes of each input; inputs are whole numbers.
            output: The name that a node returned; its values are floats, of an open shape.
        """
        graph = _message(
            *((1, node) for node in self._nodes),
            (2, "graph"),
            *((5, tensor) for tensor in (*self._constants, *self._weights)),
            *((11, _value(name, "int64", axes)) for name, axes in inputs.items()),
            (12, _value(output, "float32", None)),
        )
        return _message((1, IR_VERSION), (7, graph), (8, _message((1, ""), (2, OPSET))))


def _value(name: str, dtype: str, axes: Sequence[str] | None) -> bytes:
    shape = [] if axes is None else [(2, _message(*((1, _message((2, axis))) for axis in axes)))]
    return _message((1, name), (2, _message((1, _message((1, _TYPES[dtype]), *shape)))))


def _shape(array: Array) -> list[tuple[int, int]]:
    return [*((1, size) for size in array.shape), (2, _TYPES[str(array.dtype)])]


def _attribute(name: str, value: float | Sequence[int]) -> bytes:
    if isinstance(value, int):
        return _message((1, name), (3, value), (20, _INT))
    if isinstance(value, float):
        return _message((1, name), (2, value), (20, _FLOAT))
    return _message((1, name), *((8, number) for number in value), (20, _INTS))


def _message(*fields: tuple[int, int | float | str | bytes]) -> bytes:
    """A message of protocol buffers: each field is its number, its kind and its value."""
    return b"".join(_field(number, value) for number, value in fields)


def _field(number: int, value: float | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value & (1 << 64) - 1)
    if isinstance(value, float):
        return _varint(number << 3 | 5) + struct.pack("<f", value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)
