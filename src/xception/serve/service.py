"""The service: several models, what is asked of them, and the wait for their answers. It knows no HTTP."""

import asyncio
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from xception.serve.batcher import Arrival, Batcher, Done
from xception.serve.limits import Limits
from xception.serve.model import Answer, ServedModel, Work
from xception.serve.refusal import Refusal

PhotoOutcome = Done[Answer] | Refusal


@dataclass(frozen=True, kw_only=True)
class Service:
    """The models by name, and the limits of what may be asked of them."""

    models: Mapping[str, ServedModel]
    limits: Limits
    leaving: Event = field(default_factory=Event)
    """Set when the service is about to end: it still answers, but reports that it is not ready for new clients."""

    def model(self, name: str | None, version: str | None = None) -> ServedModel:
        """A model by its name, which may be left out if there is only one.

        Raises:
            Refusal: there is none, or not in this version.
        """
        if name is None and len(self.models) == 1:
            return next(iter(self.models.values()))
        found = self.models.get(name or "")
        if found is None:
            known = ", ".join(self.models)
            raise Refusal(404, "unknown", f"there is no model {name!r:.80}; expected one of {known}")
        if version not in (None, found.version):
            raise Refusal(404, "unknown", f"{found.name} has no version {version!r:.80}; expected {found.version}")
        return found

    @property
    def is_ready(self) -> bool:
        """True while every model works, and the service is not about to end."""
        return all(map(self.takes, self.models.values()))

    def takes(self, model: ServedModel) -> bool:
        """Tell whether requests to a model should be sent here."""
        return model.is_ready and not self.leaving.is_set()

    def timeout_s(self, asked_s: float | None) -> float:
        """Time until the deadline of a request that asks for some."""
        return min(asked_s or self.limits.timeout_s, self.limits.timeout_s)

    @contextmanager
    def arriving(self, timeout_s: float) -> Iterator[Arrival | None]:
        """A request for the time in which it comes, where it names its model only inside.

        It has a place in the queue if there is one model, and is else let in if any of them would take it.

        Raises:
            Refusal: none would; see `Batcher.check`.
        """
        batchers = [model.batcher for model in self.models.values()]
        if len(batchers) == 1:
            with batchers[0].arriving(timeout_s) as arrival:
                yield arrival
        else:
            _check_any(batchers, timeout_s)
            yield None

    async def outcomes(
        self,
        model: ServedModel,
        works: Sequence[Work],
        timeout_s: float,
        arrival: Arrival | None = None,
        gone: Awaitable[Any] | None = None,
    ) -> list[PhotoOutcome]:
        """The outcome of every image of a request, in their order.

        Args:
            model: the one that is asked.
            works: the images.
            timeout_s: time until the deadline.
            arrival: the place in the queue that the request has already.
            gone: ends when the client has disconnected.

        Raises:
            Refusal: the request is not taken, its deadline passed, or its client is gone.
        """
        ticket = model.batcher.admit(works, timeout_s, arrival)
        answered = asyncio.wrap_future(ticket.future)
        waited = [answered] if gone is None else [answered, asyncio.ensure_future(gone)]
        try:
            await asyncio.wait(waited, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if answered.done():
                return answered.result()
            ticket.leave()
            if len(waited) > 1 and waited[1].done():
                raise Refusal(499, "departed", "the client is gone")
            raise Refusal(504, "deadline", "the deadline passed before the answer was there; allow more time")
        except asyncio.CancelledError:
            ticket.leave()
            raise
        finally:
            for task in waited[1:]:
                task.cancel()

    def close(self) -> None:
        """Answer what is due, and free the models."""
        for model in self.models.values():
            model.close()


def _check_any(batchers: Sequence[Batcher[Work, Answer]], timeout_s: float) -> None:
    """Refuse one more image if every queue would.

    Raises:
        Refusal: the last queue's.
    """
    refused: Refusal | None = None
    for batcher in batchers:
        try:
            batcher.check(1, timeout_s)
        except Refusal as refusal:
            refused = refusal
        else:
            return
    if refused:
        raise refused
