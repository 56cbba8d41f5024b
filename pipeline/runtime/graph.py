"""The graph of an ONNX file, looked at before ONNX Runtime gets it: it holds everything that it needs.

ONNX Runtime opens the files that a graph names for its weights. This reads the protobuf by itself, because the serving
environment has no package that does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.core.errors import DataError

DOMAINS = ("", "ai.onnx")
"""Of the operators that a graph may use: those of the ONNX standard."""
_DEEPEST = 64
"""Of graphs and attributes within each other; those of the pipeline's models are at most two deep."""

# The fields of the messages of onnx.proto (ONNX 1.23) that lead to a tensor or an operator: number, kind.
_FIELDS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {4: "operator", 5: "attribute", 7: "domain"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {8: "name", 13: "location", 14: "elsewhere"},
}
_LEAVES = frozenset({"operator", "domain", "name", "location", "elsewhere"})
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# Numbers of fields of the same messages: of the model, the graph, a value, a node and an attribute.
_GRAPH = 7
_NODE, _OUTPUT = 1, 12
_VALUE_NAME = 1
_INPUT, _NODE_OUTPUT, _KIND, _ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_NAME, _INTEGERS = 1, 8


def expect_self_contained(content: bytes, source: str) -> None:
    """Reject a graph that names other files, or operators that are not of the ONNX standard.

    Args:
        content: of the ONNX file.
        source: what messages call the model.

    Raises:
        DataError: a tensor is in another file, an operator is of another domain or of a function of the model's own,
            or the file is damaged.
    """
    try:
        _check(memoryview(content), "model", source, 0)
    except (IndexError, ValueError):
        raise DataError(f"{source}: not an ONNX file, or damaged; run `make repro` to export it") from None


def _check(message: memoryview, kind: str, source: str, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError("graphs within graphs")
    known = _FIELDS[kind]
    leaves: dict[str, int | memoryview] = {}
    for number, value in _fields(message):
        inner = known.get(number)
        if inner is None:
            continue
        if inner in _LEAVES:
            leaves[inner] = value
        elif isinstance(value, int):
            raise ValueError(f"field {number} is a number")
        elif inner == "function":
            raise DataError(f"{source}: functions of its own found, expected operators of the ONNX standard alone")
        else:
            _check(value, inner, source, depth + 1)
    if "location" in leaves or leaves.get("elsewhere"):
        raise DataError(f"{source}: the data of tensor {_text(leaves.get('name'))} are in another file, expected in it")
    if _text(leaves.get("domain"), quote=False) not in DOMAINS:
        raise DataError(
            f"{source}: operator {_text(leaves.get('operator'))} of domain {_text(leaves['domain'])} found, "
            "expected operators of the ONNX standard alone"
        )


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a message."""
    position, end = 0, len(message)
    while position < end:
        key, position = _varint(message, position)
        kind = key & 7
        value: int | memoryview
        if kind == _VARINT:
            value, position = _varint(message, position)
        elif kind == _BYTES:
            size, position = _varint(message, position)
            value, position = message[position : position + size], position + size
        elif kind in (_FIXED32, _FIXED64):
            value, position = 0, position + (4 if kind == _FIXED32 else 8)
        else:
            raise ValueError(f"a field of kind {kind}")
        if position > end:
            raise ValueError("a field that is cut off")
        yield key >> 3, value


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number that does not end")


def _text(value: int | memoryview | None, *, quote: bool = True) -> str:
    text = "" if value is None or isinstance(value, int) else bytes(value).decode("utf-8", "replace")
    return ascii(text[:80]) if quote else text


@dataclass(frozen=True)
class Operator:
    """An operator of a graph.

    Attributes:
        kind: its type, as `Conv`.
        inputs: names of the tensors that it takes.
        outputs: names of those that it gives.
        kernel: height and width of its `kernel_shape`; (0, 0) where it has none.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    kernel: tuple[int, int]


def operators_of(content: bytes, source: str) -> list[Operator]:
    """The operators of a graph, in the order in which they run; those of graphs within it are left out.

    Args:
        content: of the ONNX file.
        source: what messages call the model.

    Raises:
        DataError: the file is damaged.
    """
    try:
        graphs = [value for number, value in _fields(memoryview(content)) if number == _GRAPH]
        return [_operator(value) for graph in graphs for number, value in _fields(_message(graph)) if number == _NODE]
    except (IndexError, ValueError):
        raise DataError(f"{source}: not an ONNX file, or damaged; run `make repro` to export it") from None


def with_outputs(content: bytes, names: Sequence[str]) -> bytes:
    """An ONNX file whose graph has tensors of these names as further outputs.

    Args:
        content: of the ONNX file.
        names: of tensors in its graph.
    """
    outputs = b"".join(_field(_OUTPUT, _field(_VALUE_NAME, name.encode())) for name in names)
    return content + _field(_GRAPH, outputs)


def _operator(node: int | memoryview) -> Operator:
    inputs, outputs, kernel, kind = [], [], (0, 0), ""
    for number, value in _fields(_message(node)):
        if number == _INPUT:
            inputs.append(bytes(_message(value)).decode())
        elif number == _NODE_OUTPUT:
            outputs.append(bytes(_message(value)).decode())
        elif number == _KIND:
            kind = bytes(_message(value)).decode()
        elif number == _ATTRIBUTE:
            kernel = _kernel(_message(value)) or kernel
    return Operator(kind, tuple(inputs), tuple(outputs), kernel)


def _kernel(attribute: memoryview) -> tuple[int, int] | None:
    """The two sides of an attribute `kernel_shape`; None of any other one."""
    name, sides = b"", []
    for number, value in _fields(attribute):
        if number == _ATTRIBUTE_NAME:
            name = bytes(_message(value))
        elif number == _INTEGERS and isinstance(value, int):
            sides.append(value)
        elif number == _INTEGERS:
            # Packed, as some writers do.
            position, packed = 0, _message(value)
            while position < len(packed):
                side, position = _varint(packed, position)
                sides.append(side)
    return (sides[0], sides[1]) if name == b"kernel_shape" and len(sides) == 2 else None


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message is expected")
    return value


def _field(number: int, content: bytes) -> bytes:
    return _as_varint(number << 3 | _BYTES) + _as_varint(len(content)) + content


def _as_varint(value: int) -> bytes:
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])
