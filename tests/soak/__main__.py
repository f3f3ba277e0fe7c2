"""`make soak`: everything that goes wrong, at once, for half an hour, on real Apache Kafka and MinIO.

Products of every fate are published while producers pack them with every codec and throw bombs, batches are damaged on
the broker's disk, the object store goes away, the broker restarts and workers are killed and frozen. At the end every
record must have ended exactly once and as it may, and no worker may have been stuck or large.
"""

import argparse
import logging
import signal
import sys
import tempfile
from pathlib import Path

from tests.servers import lacking_kafka, lacking_minio
from tests.soak.mixed_run import Plan, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--products", type=int, default=20_000)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=20261128)
    parser.add_argument("--out", type=Path, default=Path("bench-out"), help="for the plot and the table")
    parser.add_argument("--keep", type=Path, help="for logs and data; left out, they go with the run")
    arguments = parser.parse_args()
    for lacking in (lacking_kafka(), lacking_minio()):
        if lacking is not None:
            parser.error(lacking)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # a broker that is away is no news here
    # However the run is ended, its servers and workers end with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    plan = Plan(arguments.products, arguments.minutes, arguments.seed)
    if arguments.keep is not None:
        arguments.keep.mkdir(parents=True)
        return run(plan, arguments.keep, arguments.out)
    with tempfile.TemporaryDirectory(prefix="skureel-soak-") as folder:
        return run(plan, Path(folder), arguments.out)


if __name__ == "__main__":
    sys.exit(main())
