"""Assembles the parts that deliver from the settings.

Not in app.services, since receiving mail doesn't need the HTTP client, which opens a socket on
import.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

from app.deliveries.courier import Courier
from app.deliveries.dispatcher import Dispatcher
from app.deliveries.signing_secret import signing_secrets
from app.deliveries.workers import Workers
from app.metrics.delivery_recorder import DeliveryRecorder
from app.services import now
from app.settings import Endpoint, Settings
from app.storage.factory import open_store


@contextmanager
def dispatching(
    settings: Settings, recorder: DeliveryRecorder | None = None
) -> Iterator[Dispatcher]:
    """Yield a dispatcher that sends stored messages to the endpoints when it is run."""

    def secrets_of(endpoint: Endpoint) -> Sequence[str]:
        return signing_secrets(endpoint, settings.storage.data_dir)

    with (
        closing(open_store(settings.storage)) as store,
        closing(Courier(store, secrets_of, now)) as courier,
        closing(Workers(courier.send, settings.deliveries.threads, now)) as workers,
    ):
        yield Dispatcher(store, settings.deliveries, workers, now, recorder=recorder)
