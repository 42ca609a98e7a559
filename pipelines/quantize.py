"""The int8 sibling: dense parts in QDQ form, symmetric, weights per channel; LSTM and trees stay float.

ONNX Runtime has no integer LSTM or tree operators, so what is quantized is every Gemm. A quantizer that silently does
nothing is a known trap: the result counts only when Q/DQ nodes exist and outputs differ from fp32.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from pipelines.evaluate import Labels, logloss, open_session, run_graph, unusable
from pipelines.export import to_bytes
from pipelines.members import Floats
from trader.bundle import Calibration

DENSE: Final = ("Gemm", "MatMul")
BUDGET: Final = 0.01
CALIBRATION_ROWS: Final = 2_048
BATCH: Final = 256


class Quantized(msgspec.Struct, frozen=True):
    """An int8 model, or why there is none. ``refused`` is "" when the model may be published.

    ``max_abs_diff`` is the largest probability difference to fp32 and ``logloss`` its own, both on the test split.
    """

    model: bytes
    nodes: int
    max_abs_diff: float
    logloss: float
    refused: str


class Rows(CalibrationDataReader):  # type: ignore[misc]
    """Feeds calibration windows to ONNX Runtime in batches."""

    def __init__(self, x: Floats) -> None:
        self.batches: Iterator[Floats] = (x[at : at + BATCH] for at in range(0, len(x), BATCH))

    def get_next(self) -> dict[str, Any] | None:
        """The next batch, or None at the end."""
        batch = next(self.batches, None)
        return None if batch is None else {"x": batch}


def calibration_rows(x: Floats) -> Floats:
    """At most ``CALIBRATION_ROWS`` windows spread evenly over ``x``."""
    if len(x) <= CALIBRATION_ROWS:
        return x
    return x[np.arange(CALIBRATION_ROWS) * len(x) // CALIBRATION_ROWS]


def describe_calibration(x: Floats) -> Calibration:
    """Count and hash of the windows that calibrate."""
    return Calibration(len(x), hashlib.sha256(np.ascontiguousarray(x, np.float32).tobytes()).hexdigest())


def quantize_model(model: bytes, x: Floats) -> bytes:
    """Quantize the dense parts of ``model`` with ranges observed on the windows ``x``; deterministic."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "fp32.onnx"), Path(folder, "int8.onnx")
        source.write_bytes(to_bytes(_tagged(model)))
        quantize_static(
            source,
            target,
            Rows(x),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(DENSE),
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QInt8,
            extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},
        )
        quantized = onnx.load(target)
    described = {prop.key: prop.value for prop in onnx.load_from_string(model).metadata_props}
    onnx.helper.set_model_props(quantized, described | {"precision": "int8"})
    return to_bytes(quantized)


def _tagged(model: bytes) -> onnx.ModelProto:
    """The graph is written with every shape known: ONNX Runtime need not ask for its preparation to be run first."""
    graph = onnx.load_from_string(model)
    add_pre_process_metadata(graph)
    return graph


def quantized_nodes(model: bytes) -> int:
    """How many dense nodes read a dequantized value."""
    graph = onnx.load_from_string(model).graph
    dequantized = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    return sum(node.op_type in DENSE and node.input[0] in dequantized for node in graph.node)


def quantize(fp32: bytes, calibrate: Floats, test: Floats, y: Labels) -> Quantized:
    """Quantize and judge: at least one node quantized, outputs different but usable, log loss within 1 % of fp32."""
    int8 = quantize_model(fp32, calibrate)
    before, _ = run_graph(open_session(fp32), test)
    after, _ = run_graph(open_session(int8), test)
    nodes, diff = quantized_nodes(int8), float(np.abs(after - before).max())
    refused = _refusal(nodes, diff, logloss(before, y), logloss(after, y)) or unusable(after)
    return Quantized(int8, nodes, diff, logloss(after, y), refused)


def _refusal(nodes: int, diff: float, before: float, after: float) -> str:
    if nodes == 0:
        return "nothing was quantized: no dense node reads a dequantized value"
    if diff == 0:
        return "outputs equal those of fp32: the quantized nodes do nothing"
    if not after <= before * (1 + BUDGET):
        return f"log loss {after:.5f} exceeds the budget of {before * (1 + BUDGET):.5f} (fp32 {before:.5f} plus 1 %)"
    return ""
