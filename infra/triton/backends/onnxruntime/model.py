"""CPU stand-in for Triton's native onnxruntime backend: a Python-based backend, run inside the server.

It serves the repository that the GPU container reads: ``<model>/config.pbtxt`` and ``<model>/<version>/model.onnx``.
The server's own environment must hold numpy 1.26 (the stub returns wrong numbers with numpy 2) and onnxruntime.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

MODEL_FILE = "model.onnx"


def open_session(path):
    """One thread, in order: a graph of microseconds loses more to thread hand-over than it gains."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class TritonPythonModel:
    """One loaded version of one model (the name and methods are Triton's)."""

    def initialize(self, args):
        config = json.loads(args["model_config"])
        file_name = config.get("default_model_filename") or MODEL_FILE
        self.session = open_session(Path(args["model_repository"]) / args["model_version"] / file_name)
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.outputs = [tensor["name"] for tensor in config["output"]]

    def execute(self, requests):
        if len(requests) == 1:
            return [self._answer(requests[0])]
        return self._answer_together(requests)

    def _feed(self, request):
        return {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}

    def _response(self, request, arrays):
        wanted = set(request.requested_output_names())
        tensors = [pb_utils.Tensor(n, a) for n, a in zip(self.outputs, arrays, strict=True) if n in wanted]
        return pb_utils.InferenceResponse(output_tensors=tensors)

    def _answer(self, request):
        try:
            return self._response(request, self.session.run(self.outputs, self._feed(request)))
        except Exception as error:
            return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(str(error)))

    def _answer_together(self, requests):
        """Run requests that were batched as one; a batch that fails is answered one by one, so that one stays alone."""
        try:
            feeds = [self._feed(request) for request in requests]
            joined = {name: np.concatenate([feed[name] for feed in feeds]) for name in self.inputs}
            arrays = self.session.run(self.outputs, joined)
        except Exception:
            return [self._answer(request) for request in requests]
        ends = np.cumsum([len(feed[self.inputs[0]]) for feed in feeds])[:-1]
        parts = zip(*(np.split(array, ends) for array in arrays), strict=True)
        return [self._response(request, part) for request, part in zip(requests, parts, strict=True)]
