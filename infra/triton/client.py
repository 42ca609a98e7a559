"""Talking to Triton over HTTP: control calls in JSON, inference in the binary form (KServe v2, binary tensor data)."""

import http.client
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from infra.errors import ModelError, TritonDeadError

Floats = npt.NDArray[np.float32]
CALL_TIMEOUT_S = 30.0
JSON_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Answer:
    """One reply: status code, headers, body."""

    status: int
    json_length: int | None
    body: bytes

    @property
    def error(self) -> str:
        """Triton's reason, or the raw body where it gave none."""
        try:
            return str(json.loads(self.body)["error"])
        except (ValueError, KeyError, TypeError):
            return self.body.decode(errors="replace")[:500]


class Connection:
    """One persistent HTTP/1.1 connection to a Triton server; not shared between threads."""

    def __init__(self, http_url: str, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self.http_url = http_url
        parts = urlsplit(http_url if "//" in http_url else f"//{http_url}")
        self._http = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=timeout_s)

    def call(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        """One request; TritonDeadError when the server does not answer it."""
        try:
            self._http.request(method, path, body, headers or {})
            reply = self._http.getresponse()
            length = reply.getheader(JSON_LENGTH)
            return Answer(reply.status, None if length is None else int(length), reply.read())
        except (OSError, http.client.HTTPException) as error:
            self._http.close()
            message = f"Triton at {self.http_url} does not answer {path}: {error or type(error).__name__}"
            raise TritonDeadError(message, "start it (`cryptoscalp serve`) or read its triton.log") from error

    def infer(self, name: str, version: int, x: Floats) -> tuple[Floats, Floats]:
        """Score a batch.

        Parameters
        ----------
        name, version
            The model asked.
        x
            float32 ``[batch, window, features]``.

        Returns
        -------
        proba float32 ``[batch, 3]`` and members float32 ``[batch, M, 3]``.

        Raises
        ------
        ModelError
            The server refused, or answered without the two outputs.
        TritonDeadError
            The server does not answer.
        """
        header, body = encode(x)
        answer = self.call("POST", f"/v2/models/{name}/versions/{version}/infer", body, header)
        if answer.status != http.client.OK:
            raise ModelError(f"Triton refused {name} version {version}: {answer.error}", "publish the model again")
        outputs = decode(answer)
        if not {"proba", "members"} <= outputs.keys():
            raise ModelError(f"{name} version {version} answered {sorted(outputs)}", "publish the model again")
        return outputs["proba"], outputs["members"]

    def close(self) -> None:
        self._http.close()


def encode(x: Floats) -> tuple[dict[str, str], bytes]:
    """Headers and body of a binary inference request for input ``x``."""
    array = np.ascontiguousarray(x, dtype="<f4")
    data = array.tobytes()
    tensor = {"name": "x", "datatype": "FP32", "shape": array.shape, "parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return {JSON_LENGTH: str(len(head)), "Content-Type": "application/octet-stream"}, head + data


def decode(answer: Answer) -> dict[str, Floats]:
    """The float32 outputs of a binary inference reply, by name."""
    start = len(answer.body) if answer.json_length is None else answer.json_length
    outputs: dict[str, Floats] = {}
    for tensor in json.loads(answer.body[:start])["outputs"]:
        size = _binary_size(tensor)
        flat = np.frombuffer(answer.body, "<f4", size // 4, start)
        outputs[tensor["name"]] = flat.reshape(tensor["shape"])
        start += size
    return outputs


def _binary_size(tensor: dict[str, Any]) -> int:
    size = tensor.get("parameters", {}).get("binary_data_size")
    if size is None or tensor["datatype"] != "FP32":
        raise ModelError(f"output {tensor['name']} is not binary float32", "publish the model again")
    return int(size)


def reference(model: Path, x: Floats) -> tuple[Floats, Floats]:
    """What ONNX Runtime computes in this process for the same file: proba and members."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    proba, members = session.run(["proba", "members"], {"x": np.ascontiguousarray(x, dtype=np.float32)})
    return proba, members


def known_answer(http_url: str, name: str, version: int, x: npt.ArrayLike, proba: npt.ArrayLike) -> float:
    """Largest absolute difference between Triton's ``proba`` for ``x`` and the expected one.

    Parameters
    ----------
    http_url
        ``host:port`` or ``http://host:port``.
    name, version
        The model asked.
    x
        ``[batch, window, features]``.
    proba
        Expected probabilities ``[batch, 3]`` (or ``[3]`` for one row), from ONNX Runtime.

    Raises
    ------
    ModelError
        The answer has another shape or holds a value that is not finite.
    """
    connection = Connection(http_url)
    try:
        served, _ = connection.infer(name, version, np.asarray(x, dtype=np.float32))
    finally:
        connection.close()
    expected = np.atleast_2d(np.asarray(proba, dtype=np.float64))
    if served.shape != expected.shape or not np.isfinite(served).all():
        message = f"{name} version {version} answered shape {served.shape}, expected {expected.shape}, all finite"
        raise ModelError(message, "check the server's environment: it needs numpy 1.26")
    return float(np.abs(served - expected).max())
