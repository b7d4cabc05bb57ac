"""Figures of the service in Prometheus' text form. All labels come from closed sets, never from a request."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from xception.extras import require
from xception.serve.batcher import Batcher, Done
from xception.serve.model import Answer, ServedModel
from xception.serve.refusal import Refusal
from xception.serve.service import PhotoOutcome

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Bounds of the histograms of time."""


class Measures:
    """The figures of one process."""

    def __init__(self, models: Mapping[str, ServedModel]) -> None:
        prometheus: Any = require("prometheus_client", "serve")
        self._prometheus = prometheus
        self._registry = prometheus.CollectorRegistry()

        def figure(kind: str, name: str, words: str, labels: tuple[str, ...], **more: Any) -> Any:
            return getattr(prometheus, kind)(f"xception_{name}", words, labels, registry=self._registry, **more)

        self._requests = figure("Counter", "requests", "Requests.", ("route", "status"))
        self._refusals = figure("Counter", "refusals", "Requests and images that were refused.", ("reason",))
        self._seconds = figure("Histogram", "request_seconds", "Time per request.", ("route",), buckets=SECONDS)
        self._images = figure("Counter", "images", "Images that were answered.", ("model",))
        self._waits = figure("Histogram", "queue_seconds", "Time in the queue.", ("model",), buckets=SECONDS)
        self._stages = figure("Counter", "stage_seconds", "Time per stage.", ("model", "stage"))
        self._registry.register(_Queues(models, prometheus))
        process: Any = prometheus.ProcessCollector
        process(registry=self._registry)

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Count a request that was replied to."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def count_refusal(self, refusal: Refusal) -> None:
        """Count a request or an image that was refused."""
        self._refusals.labels(refusal.reason).inc()

    def count_images(self, model: ServedModel, outcomes: Iterable[PhotoOutcome]) -> None:
        """Count the images of a request."""
        for outcome in outcomes:
            if isinstance(outcome, Refusal):
                self.count_refusal(outcome)
            else:
                self._count_image(model.name, outcome)

    def _count_image(self, model: str, done: Done[Answer]) -> None:
        self._images.labels(model).inc()
        self._waits.labels(model).observe(done.queue_s)
        for stage, seconds in done.result.seconds.items():
            self._stages.labels(model, stage).inc(seconds)

    def text(self) -> bytes:
        """All figures."""
        return bytes(self._prometheus.generate_latest(self._registry))

    @property
    def media_type(self) -> str:
        """The media type of `text`."""
        return str(self._prometheus.CONTENT_TYPE_LATEST)


class _Queues:
    """Figures that the queues know by themselves, asked for when they are told."""

    def __init__(self, models: Mapping[str, ServedModel], prometheus: Any) -> None:
        self._models, self._kinds = models, prometheus.metrics_core

    def collect(self) -> Iterable[Any]:
        """The figures, as Prometheus' client asks for them."""
        gauges: dict[str, tuple[str, Callable[[Batcher[Any, Any]], float]]] = {
            "queued_images": ("Images that wait.", lambda queue: queue.queued),
            "running_images": ("Images that are computed.", lambda queue: queue.running),
            "pace_seconds": ("Time per image with all threads at work.", lambda queue: queue.pace_s or 0.0),
        }
        for name, (words, value) in gauges.items():
            family = self._kinds.GaugeMetricFamily(f"xception_{name}", words, labels=["model"])
            for model in self._models.values():
                family.add_metric([model.name], value(model.batcher))
            yield family
        yield self._dropped()
        yield self._batches()
        info = self._kinds.InfoMetricFamily("xception_model", "The models that are served.", labels=["model"])
        for model in self._models.values():
            info.add_metric([model.name], {"digest": model.digest, "preprocess_id": model.preprocess_id})
        yield info

    def _dropped(self) -> Any:
        family = self._kinds.CounterMetricFamily(
            "xception_dropped_images", "Images whose clients had left.", labels=["model", "when"]
        )
        for model in self._models.values():
            counts = model.batcher.counts
            for when in ("expired", "departed", "wasted"):
                family.add_metric([model.name, when], getattr(counts, when))
        return family

    def _batches(self) -> Any:
        family = self._kinds.HistogramMetricFamily("xception_batch_images", "Images per batch.", labels=["model"])
        for model in self._models.values():
            sizes = dict(model.batcher.counts.batch_sizes)
            buckets, total = [], 0
            for bound in range(1, model.batcher.batch_size + 1):
                total += sizes.get(bound, 0)
                buckets.append((str(float(bound)), total))
            buckets.append(("+Inf", total))
            family.add_metric([model.name], buckets, sum(size * count for size, count in sizes.items()))
        return family
