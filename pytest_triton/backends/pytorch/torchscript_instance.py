"""One model instance: everything between Triton's ``initialize`` and ``execute``."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import triton_python_backend_utils as pb_utils
from torchscript_config import Config, parse_config
from torchscript_execute import Execute, make_executor
from torchscript_load import find_file, load_module
from torchscript_outputs import numpy_problem
from torchscript_parameters import Parameters, parse_parameters
from torchscript_refusal import INTERNAL, INVALID_ARG, UNSUPPORTED, Refusal
from torchscript_schema import make_plan

_MOST_THREADS = 16384
_HELD: list[Any] = []


class Instance:
    """Loads in the order of the C++ backend, so that the same error wins."""

    def __init__(self, args: dict[str, str], raw: dict[str, Any]) -> None:
        log = pb_utils.Logger
        config = parse_config(raw)
        torch = _import_torch()
        parameters = parse_parameters(config.parameters, config.name, log.log_info, _set_threads)
        device = _device(args)
        filename = _filename(config, raw, device)
        if parameters.weight_sharing and _instances(raw) > 1:
            log.log_warn(
                f"model '{config.name}': every instance has a process of its own here, so "
                "ENABLE_WEIGHT_SHARING shares nothing; buffers that forward changes differ from "
                "instance to instance"
            )
        path = find_file(args["model_repository"], args["model_version"], filename, config.name)
        _apply(parameters, device)
        module = load_module(path, device, config.name)
        method = _forward(module, config)
        plan = make_plan(config, method.schema, log.log_warn)
        _check_strings(config)
        execute = make_executor(config, plan, module, method, device or torch.device("cpu"))
        if parameters.cache_cleaning and torch.cuda.is_available():
            execute = _with_cache_cleaning(execute)
        self.execute = execute


def _import_torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise Refusal(
            INTERNAL,
            f"{sys.executable or 'the Python of the server'} cannot import torch: {error}; install "
            "torch there",
        ) from None
    return torch


def _device(args: dict[str, str]) -> Any:
    """``None`` for KIND_MODEL: the file decides."""
    import torch

    kind = args["model_instance_kind"]
    if kind == "GPU":
        if not torch.cuda.is_available():
            raise Refusal(
                INTERNAL,
                f"unable to get CUDA device properties for {args['model_instance_name']}: this "
                "torch has no CUDA device; install a CUDA build of torch, or use KIND_CPU",
            )
        return torch.device("cuda", int(args["model_instance_device_id"]))
    return None if kind == "MODEL" else torch.device("cpu")


def _instances(raw: dict[str, Any]) -> int:
    groups = raw.get("instance_group", ())
    return sum(int(group.get("count", 1)) * max(1, len(group.get("gpus", ()))) for group in groups)


def _filename(config: Config, raw: dict[str, Any], device: Any) -> str:
    """``cc_model_filenames`` goes before ``default_model_filename`` on a GPU."""
    if device is None or device.type != "cuda":
        return config.filename
    import torch

    capability = ".".join(map(str, torch.cuda.get_device_capability(device)))
    return str(raw.get("cc_model_filenames", {}).get(capability, config.filename))


def _set_threads(kind: str, count: int) -> int:
    import torch

    if count > _MOST_THREADS:
        # The C++ backend ends the server here.
        raise Refusal(
            INVALID_ARG,
            f"failed to set {count} threads: at most {_MOST_THREADS} are possible",
        )
    if kind == "intra":
        torch.set_num_threads(count)
        return torch.get_num_threads()
    with contextlib.suppress(RuntimeError):  # too late: the first count stays
        torch.set_num_interop_threads(count)
    return torch.get_num_interop_threads()


def _apply(parameters: Parameters, device: Any) -> None:
    """Set torch up for the rest of this process: it serves this one instance only."""
    import torch

    if device is not None and device.type == "cuda":
        torch.cuda.set_device(device)

    torch._C._set_graph_executor_optimize(parameters.optimized_execution)
    torch.backends.cudnn.enabled = parameters.cudnn
    if parameters.jit_profiling is not None:
        torch._C._jit_set_profiling_mode(parameters.jit_profiling)
    if parameters.jit_executor is not None:
        torch._C._jit_set_profiling_executor(parameters.jit_executor)
    if parameters.tensor_fuser is not None:
        torch._C._jit_set_texpr_fuser_enabled(parameters.tensor_fuser)
    torch.set_grad_enabled(False)
    if parameters.inference_mode:
        # Entered once and never left: a context manager per request would cost time.
        # Somebody has to hold it: it ends with the object.
        guard = torch.inference_mode(True)
        guard.__enter__()
        _HELD.append(guard)


def _with_cache_cleaning(execute: Execute) -> Execute:
    import torch

    def execute_and_clean(requests: list[Any]) -> Any:
        responses = execute(requests)
        torch.cuda.empty_cache()
        return responses

    return execute_and_clean


def _check_strings(config: Config) -> None:
    tensors = (*config.inputs, *config.outputs)
    problem = numpy_problem()
    if problem and any(tensor.data_type == "TYPE_STRING" for tensor in tensors):
        raise Refusal(UNSUPPORTED, f"unable to load model '{config.name}', {problem}")


def _forward(module: Any, config: Config) -> Any:
    """The C++ method object; calling it does not pass through ``nn.Module``."""
    try:
        return module._c._get_method("forward")
    except (AttributeError, RuntimeError) as error:
        # The C++ backend ends the server here.
        raise Refusal(INTERNAL, f"failed to load model '{config.name}': {error}") from None
