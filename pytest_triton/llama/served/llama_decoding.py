"""Greedy decoding of many streams at once, each in a slot of one key-value cache.

A step takes the first ``rows`` slots: streams in flight are kept without holes between them.
On a GPU a step is a CUDA graph, captured once for each number of rows and span of the cache,
because one token costs less than starting its kernels one by one.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import Cache, DynamicCache

#: Positions of the cache that a step looks at, at least; then twice as many, and so on.
_SPAN = {"cpu": 64, "cuda": 256}


class _Slots(Cache):
    """Keys and values of every slot, [slots, heads, length, width] for each layer.

    ``rows``, ``span`` and ``at`` say what a step reads and where it writes.
    """

    def __init__(self, model: Any, slots: int, length: int) -> None:
        # Not Cache.__init__, whose arguments differ between releases and make layers.
        self.layers: list[Any] = []
        config, weight = model.config, model.lm_head.weight
        heads = config.num_key_value_heads
        width = getattr(config, "head_dim", None) or (
            config.hidden_size // config.num_attention_heads
        )
        shape = (config.num_hidden_layers, slots, heads, length, width)
        self.keys = torch.zeros(shape, dtype=weight.dtype, device=weight.device)
        self.values = torch.zeros_like(self.keys)
        self.rows, self.span = slots, length
        self.at: Any = None

    def update(
        self, key_states: Any, value_states: Any, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Any, Any]:
        """Write one position of every row; the keys and values that the step looks at."""
        keys, values = self.keys[layer_idx, : self.rows], self.values[layer_idx, : self.rows]
        at = self.at.expand_as(key_states)
        keys.scatter_(2, at, key_states)
        values.scatter_(2, at, value_states)
        return keys[:, :, : self.span], values[:, :, : self.span]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Not 0, which some releases take for an empty cache; positions are given."""
        return self.span - 1


class Decoder:
    """``slots`` streams of at most ``length`` tokens each, prompt included.

    The order of calls is the caller's: ``prefill`` fills a slot and gives its first token;
    ``launch`` begins a step of the first slots, ``collect`` waits for its tokens.
    """

    def __init__(self, model: Any, slots: int, length: int, *, graphs: bool) -> None:
        self.model, self.slots, self.length = model, slots, length
        self.device = model.lm_head.weight.device
        self.cache = _Slots(model, slots, length)
        self.tokens = torch.zeros(slots, dtype=torch.int64, device=self.device)
        self.positions = torch.zeros(slots, dtype=torch.int64, device=self.device)
        self._line = torch.arange(length, device=self.device)
        #: The positions, as the host knows them without asking the device.
        self._host = [0] * slots
        self._graphs: dict[tuple[int, int], Any] = {}
        self._answer: Any = None
        #: Whether ``launch`` returns before the step is done.
        self.ahead = self.device.type == "cuda"
        self.here()
        if graphs and self.device.type == "cuda":
            self._capture()

    @torch.inference_mode()
    def prefill(self, slot: int, prompts: list[list[int]]) -> list[int]:
        """Put prompts into the slots from ``slot`` on, all in one forward; their first tokens."""
        lengths = [len(prompt) for prompt in prompts]
        ids = torch.zeros(len(prompts), max(lengths), dtype=torch.int64)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt)] = torch.tensor(prompt)
        own = DynamicCache()
        # Shorter rows are filled up behind their end, where causal attention never looks.
        hidden = self.model.model(
            input_ids=ids.to(self.device), past_key_values=own, use_cache=True
        ).last_hidden_state
        last = torch.tensor(lengths, device=self.device)
        rows = torch.arange(len(prompts), device=self.device)
        tokens = self.model.lm_head(hidden[rows, last - 1]).float().argmax(-1)
        places = slice(slot, slot + len(prompts))
        for layer, (keys, values) in enumerate(_layers(own)):
            width = ids.shape[1]
            # What a stream before left is masked, but 0 times NaN is NaN.
            for cache, new in ((self.cache.keys, keys), (self.cache.values, values)):
                cache[layer, places, :, :width] = new
                cache[layer, places, :, width:] = 0
        self.tokens[places] = tokens
        self.positions[places] = last
        self._host[places] = lengths
        return [int(token) for token in tokens.tolist()]

    def here(self) -> None:
        """Make the model's GPU that of the calling thread."""
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)

    def launch(self, count: int) -> None:
        """Begin the step of the first ``count`` slots. On a GPU it goes on by itself."""
        rows, span = self._sizes(count)
        for slot in range(count):
            self._host[slot] += 1
        if (graph := self._graphs.get((rows, span))) is not None:
            graph.replay()
        else:
            self._step(rows, span)
        self._answer = self.tokens[:count]

    def collect(self) -> list[int]:
        """The tokens of the step that was launched."""
        return [int(token) for token in self._answer.tolist()]

    @torch.inference_mode()
    def free(self, slot: int, last: int) -> None:
        """Give ``slot`` up; what is in slot ``last`` moves there."""
        if slot != last:
            used = self._host[last]
            self.cache.keys[:, slot, :, :used] = self.cache.keys[:, last, :, :used]
            self.cache.values[:, slot, :, :used] = self.cache.values[:, last, :, :used]
            self.tokens[slot] = self.tokens[last]
            self.positions[slot] = self.positions[last]
            self._host[slot] = self._host[last]
        self.positions[last] = 0
        self._host[last] = 0

    def _sizes(self, count: int) -> tuple[int, int]:
        """Rows and span of a step. Few different ones on a GPU: each is a graph."""
        need, span = max(self._host[:count]) + 1, _SPAN[self.device.type]
        while span < need:
            span *= 2
        rows = count
        if self._graphs:
            rows = 1
            while rows < count:
                rows *= 2
        return min(rows, self.slots), min(span, self.length)

    @torch.inference_mode()
    def _step(self, rows: int, span: int) -> None:
        cache, positions = self.cache, self.positions[:rows]
        cache.rows, cache.span, cache.at = rows, span, positions.view(-1, 1, 1, 1)
        mask = (self._line[:span] <= positions[:, None])[:, None, None, :]
        logits = self.model(
            input_ids=self.tokens[:rows, None], attention_mask=mask,
            position_ids=positions[:, None], past_key_values=cache, use_cache=True,
        ).logits  # fmt: skip
        self.tokens[:rows] = logits[:, -1].float().argmax(-1)
        # A row that pads a graph stays within the cache.
        self.positions[:rows] = (positions + 1).clamp(max=self.length - 1)

    def _capture(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        rows = 1
        while True:
            span = min(_SPAN["cuda"], self.length)
            while True:
                self._graphs[rows, span] = self._captured(rows, span)
                if span == self.length:
                    break
                span = min(2 * span, self.length)
            if rows == self.slots:
                break
            rows = min(2 * rows, self.slots)
        self.tokens.zero_()
        self.positions.zero_()

    def _captured(self, rows: int, span: int) -> Any:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._step(rows, span)  # what is made at the first call is made before
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # One pool for all: what a step makes on its way is not needed after it.
        with torch.cuda.graph(graph, pool=self._pool):
            self._step(rows, span)
        return graph


def _layers(cache: Any) -> list[tuple[Any, Any]]:
    """Keys and values of each layer, in any release of transformers."""
    if hasattr(cache, "layers"):
        return [(layer.keys, layer.values) for layer in cache.layers]
    return list(zip(cache.key_cache, cache.value_cache, strict=True))
