"""`skureel store ...`: what the object store needs from those who run it."""

from datetime import UTC, datetime, timedelta

import click

from functions.cli.frame import Commands, read_settings
from functions.cli.printing import say, tell
from shared.plural import counted


@click.group(cls=Commands)
def store() -> None:
    """The object store."""


@store.command(example="skureel store sweep --older-than 48")
@click.option("--delete", is_flag=True, help="Delete what is listed; without it nothing is changed.")
@click.option(
    "--older-than",
    "hours",
    type=click.IntRange(min=1),
    default=24,
    show_default=True,
    metavar="HOURS",
    help="Only what has lain there for so long; longer than a store may be away from its workers.",
)
def sweep(delete: bool, hours: int) -> None:
    """List what crashes and lost races left in the bucket: clips' files that no record names, and unfinished uploads.

    Deleting needs s3:DeleteObject, listing uploads s3:ListBucketMultipartUploads. Photos are left alone.
    """
    from shared.clips import ClipStore
    from shared.leftovers import Leftovers
    from shared.objects import ObjectStore

    clips = ClipStore(ObjectStore(read_settings().objects))
    clips.check()
    leftovers = Leftovers(clips)
    files = uploads = size_bytes = 0
    for found in leftovers.find(datetime.now(UTC) - timedelta(hours=hours)):
        if delete:
            leftovers.remove(found)
        if found.size_bytes is None:
            uploads += 1
        else:
            files += 1
            size_bytes += found.size_bytes
        size = "unfinished upload" if found.size_bytes is None else f"{found.size_bytes} bytes"
        say(f"{found.since:%Y-%m-%dT%H:%M:%SZ}  {found.key}  {size}")
    for video_id in leftovers.unreadable:
        tell(f"video {video_id}: its record cannot be read, so its files were left alone")
    done = "deleted" if delete else "left over; --delete removes them"
    tell(f"{counted(files, 'file')}, {size_bytes / 1e6:.1f} MB, and {counted(uploads, 'unfinished upload')} {done}")


COMMANDS = (store,)
