"""What a model in a repository can be told: the messages and fields of config.pbtxt, typed.

Names are Triton's: ``DynamicBatching.max_queue_delay_microseconds`` is
``dynamic_batching { max_queue_delay_microseconds }``. What is left at its default is not
written, so that Triton's own default holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pytest_triton.repository.config import ModelConfig

if TYPE_CHECKING:
    import numpy as np

Edit = Callable[[ModelConfig], object]


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """``ModelQueuePolicy``: what becomes of requests that wait; by default they wait for ever."""

    timeout_action: Literal["REJECT", "DELAY"] = "REJECT"
    default_timeout_microseconds: int = 0
    #: Requests may shorten the default timeout by their own.
    allow_timeout_override: bool = False
    max_queue_size: int = 0


@dataclass(frozen=True, slots=True)
class DynamicBatching:
    """``dynamic_batching { … }``; the defaults batch what queues up and delay nobody."""

    max_queue_delay_microseconds: int = 0
    preferred_batch_size: tuple[int, ...] = ()
    preserve_ordering: bool = False
    #: Levels are 1, the most urgent, to this; 0: there are none.
    priority_levels: int = 0
    default_priority_level: int = 0
    default_queue_policy: QueuePolicy | None = None
    #: Level -> its policy, instead of the default one.
    priority_queue_policy: Mapping[int, QueuePolicy] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ControlInput:
    """``control_input [ { … } ]``: a tensor that Triton adds to each request of a sequence."""

    name: str
    kind: Literal[
        "CONTROL_SEQUENCE_START",
        "CONTROL_SEQUENCE_READY",
        "CONTROL_SEQUENCE_END",
        "CONTROL_SEQUENCE_CORRID",
    ]
    #: Its values; their Python type chooses int32_, fp32_ or bool_false_true. Not for CORRID.
    false_true: tuple[int, int] | tuple[float, float] | tuple[bool, bool] = (0, 1)
    #: Of CORRID, as in TensorSpec.
    datatype: str = "UINT64"


@dataclass(frozen=True, slots=True)
class State:
    """``state [ { … } ]``: a tensor that Triton keeps from one request of a sequence to the next.

    ``initial_state`` is what a sequence begins with: zeros, one sample, or None for whatever
    lies in memory, which only a model that looks at START can use.
    """

    input_name: str
    output_name: str
    datatype: str
    shape: tuple[int, ...]
    initial_state: Literal["zero_data"] | np.ndarray | None = "zero_data"


@dataclass(frozen=True, slots=True)
class Direct:
    """``direct { … }``: each sequence has its slot in the batch."""

    max_queue_delay_microseconds: int = 0
    minimum_slot_utilization: float = 0.0


@dataclass(frozen=True, slots=True)
class Oldest:
    """``oldest { … }``: a batch is made of the oldest requests of different sequences."""

    max_candidate_sequences: int = 0
    preferred_batch_size: tuple[int, ...] = ()
    max_queue_delay_microseconds: int = 0


@dataclass(frozen=True, slots=True)
class SequenceBatching:
    """``sequence_batching { … }``: the requests of a sequence go to one instance, in order."""

    strategy: Direct | Oldest | None = None
    control_input: Sequence[ControlInput] = ()
    state: Sequence[State] = ()
    #: 0: Triton's default, a second.
    max_sequence_idle_microseconds: int = 0
    #: From 23.11 on.
    iterative_sequence: bool = False


@dataclass(frozen=True, slots=True)
class WarmupInput:
    """One input of a warm-up sample: its shape without the batch dimension, zeros or noise."""

    shape: tuple[int, ...]
    data: Literal["zero_data", "random_data"] = "zero_data"


@dataclass(frozen=True, slots=True)
class ModelWarmup:
    """``model_warmup [ { … } ]``: requests that are run before the model is READY.

    Required inputs that are not named are zeros. An array is one sample, without the batch
    dimension, and goes into the folder ``warmup``.
    """

    name: str = "warmup"
    #: None: max_batch_size. 0 would be skipped by Triton.
    batch_size: int | None = None
    count: int = 1
    inputs: Mapping[str, WarmupInput | np.ndarray] = field(default_factory=dict)
    #: Sizes of named axes, as TensorSpec names them.
    axes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RateLimiter:
    """``rate_limiter { … }``: what an execution takes; works under ``--rate-limit`` alone."""

    resources: Mapping[str, int] = field(default_factory=dict)
    priority: int = 0


@dataclass(frozen=True, slots=True)
class InstanceGroup:
    """``instance_group [ { … } ]``; KIND_AUTO uses GPUs when there are any."""

    count: int = 1
    kind: Literal["KIND_AUTO", "KIND_CPU", "KIND_GPU", "KIND_MODEL"] = "KIND_AUTO"
    gpus: tuple[int, ...] = ()
    name: str = ""
    rate_limiter: RateLimiter | None = None
    profile: tuple[str, ...] = ()
    passive: bool = False
    host_policy: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an ensemble; maps go from the model's tensor to the ensemble's."""

    model_name: str
    input_map: Mapping[str, str]
    output_map: Mapping[str, str]
    #: -1: the latest.
    model_version: int = -1


@dataclass(frozen=True, slots=True)
class Latest:
    """``version_policy { latest { num_versions } }``."""

    num_versions: int = 1


@dataclass(frozen=True, slots=True)
class Options:
    """What every kind of model can have besides its tensors."""

    #: None: 8, and for an ensemble what all of its steps can take.
    max_batch_size: int | None = None
    #: None: the defaults, where the model batches and nothing else schedules; False: no batching.
    dynamic_batching: DynamicBatching | Literal[False] | None = None
    sequence_batching: SequenceBatching | None = None
    #: "latest", "all", a number of latest versions, or the versions that are served.
    version_policy: Literal["latest", "all"] | Latest | Sequence[int] | None = None
    instance_group: Sequence[InstanceGroup] = ()
    model_warmup: Sequence[ModelWarmup] = ()
    response_cache: bool = False
    #: Model parameters, such as INFERENCE_MODE; a bool becomes "true" or "false".
    parameters: Mapping[str, str | bool | int | float] = field(default_factory=dict)
    #: Output name -> labels, written to ``<output>_labels.txt``.
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: Tensor name -> the shape that the model itself sees, without the batch dimension.
    reshape: Mapping[str, Sequence[int]] = field(default_factory=dict)
    optional_inputs: Sequence[str] = ()
    allow_ragged_batch: Sequence[str] = ()
    #: model_transaction_policy: any number of responses to a request.
    decoupled: bool = False
    #: Empty: model.pt or model.py.
    default_model_filename: str = ""
    #: Further files below the model's directory: relative path -> content.
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    #: Changes the ModelConfig just before it is written: anything that has no option here.
    edit: Edit | None = None
    #: Instead of everything above: this text as config.pbtxt; linted like what is built.
    config: str | None = None
    #: False: written even if lint finds errors; the builder's own ``checked`` goes first.
    checked: bool = True
