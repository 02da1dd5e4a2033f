"""Predictions of an opened network for JSON samples, and what is counted on the way."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fusionnas.errors import DataError
from fusionnas.export.opened import Opened
from fusionnas.serve.inputs import inputs_of, json_schema
from fusionnas.serve.reading import records_of
from fusionnas.training.scoring import probabilities

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper ends, in seconds, of the histogram of how long predictions take."""


@dataclass
class Metrics:
    """Counts since the start, in the text format of Prometheus."""

    requests: Counter[int] = field(default_factory=Counter)
    samples: int = 0
    seconds: float = 0.0
    within: Counter[float] = field(default_factory=Counter)
    started: float = field(default_factory=time.time)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def request(self, status: int) -> None:
        """One answered request to ``/predict``."""
        with self._lock:
            self.requests[status] += 1

    def prediction(self, samples: int, seconds: float) -> None:
        """One computed batch."""
        with self._lock:
            self.samples += samples
            self.seconds += seconds
            self.within.update(bound for bound in (*BOUNDS, float("inf")) if seconds <= bound)

    def text(self) -> str:
        """The page that a Prometheus server reads."""
        with self._lock:
            lines = ["# TYPE fusionnas_requests_total counter"]
            lines += [f'fusionnas_requests_total{{status="{s}"}} {n}' for s, n in sorted(self.requests.items())]
            lines += ["# TYPE fusionnas_samples_total counter", f"fusionnas_samples_total {self.samples}",
                      "# TYPE fusionnas_prediction_seconds histogram"]  # fmt: skip
            for bound in (*BOUNDS, float("inf")):
                name = "+Inf" if bound == float("inf") else f"{bound:g}"
                lines.append(f'fusionnas_prediction_seconds_bucket{{le="{name}"}} {self.within[bound]}')
            lines += [f"fusionnas_prediction_seconds_sum {self.seconds:.6f}",
                      f"fusionnas_prediction_seconds_count {self.within[float('inf')]}",
                      "# TYPE fusionnas_start_time_seconds gauge",
                      f"fusionnas_start_time_seconds {self.started:.3f}"]  # fmt: skip
        return "\n".join(lines) + "\n"


class Service:
    """A trained network that takes JSON samples.

    Args:
        opened: the network, in any form.
        most: samples in one request, at most.
    """

    def __init__(self, opened: Opened, *, most: int) -> None:
        model = opened.model
        self.opened, self.most, self.metrics = opened, most, Metrics()
        self.inputs, self.schema = inputs_of(model), json_schema(model)
        read = model.network.architecture.modalities
        self._preprocessing = replace(
            model.preprocessing,
            views={name: model.preprocessing.views[name] for name in read},
            sources={name: model.preprocessing.sources[name] for name in read},
        )

    def about(self) -> dict[str, Any]:
        """What runs here."""
        network = self.opened.model.network
        classes = list(map(str, self._preprocessing.classes))
        return {"status": "ok", "space": self.opened.model.space.name, "architecture": network.architecture.id,
                "form": self.opened.form, "classes": classes, "most_samples": self.most}  # fmt: skip

    def predict(self, samples: Sequence[Any]) -> list[dict[str, Any]]:
        """Probabilities by class, and the likeliest class, of every sample.

        Raises:
            DataError: samples are not as the schema says; or there are none, or too many.
        """
        if not 1 <= len(samples) <= self.most:
            raise DataError("too many samples" if samples else "no sample",
                            [f"inputs: given {len(samples)}, expected 1 to {self.most}; send them in several requests"
                             if samples else "inputs: give one sample, or a list of them"])  # fmt: skip
        start = time.perf_counter()
        table = probabilities(self.opened.logits(self._preprocessing.transform(records_of(samples, self.inputs))))
        self.metrics.prediction(len(samples), time.perf_counter() - start)
        classes = list(map(str, self._preprocessing.classes))
        return [
            {"predicted": classes[int(row.argmax())], "probabilities": dict(zip(classes, row.tolist(), strict=True))}
            for row in table
        ]
