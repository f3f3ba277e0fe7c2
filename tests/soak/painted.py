"""`skureel run render_video` with a painter where the engine would be: `python -m tests.soak.painted`."""

import sys
from pathlib import Path

from shared.kafka import serve
from shared.logs import configure_logging
from shared.settings import load_settings
from tests.delivery.worker_process import painting


def main() -> int:
    settings = load_settings()
    configure_logging(settings.log)
    return serve(painting(settings.objects, Path(settings.model.name)), settings.kafka, settings.health)


if __name__ == "__main__":
    sys.exit(main())
