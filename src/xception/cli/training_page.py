"""The page that a finished training run leaves beside its bundle."""

import msgspec

from xception.bundle import Bundle
from xception.cli.output import say
from xception.errors import MissingExtra
from xception.report.training import TrainingPage, render_training

NAME = "report.html"


def write_page(bundle: Bundle, out: str, speed: str) -> str | None:
    """Write `report.html` into the run's folder or URL; returns where it lies, or None without what draws it."""
    from xception.train.logs import JSON_LINES
    from xception.train.manifest import read_manifest, settings_of
    from xception.train.storage import open_storage

    storage = open_storage(out)
    manifest = read_manifest(storage)
    training = TrainingPage(
        bundle=bundle,
        rows=[msgspec.json.decode(line) for line in storage.read(JSON_LINES).splitlines()],
        settings=settings_of(manifest.recipe) if manifest else {},
        environment=manifest.environment if manifest else {},
        speed=speed,
    )
    try:
        storage.write(NAME, render_training(training).encode())
    except MissingExtra as error:
        say(f"no page was written: {error}")
        return None
    return f"{storage.place}/{NAME}"
