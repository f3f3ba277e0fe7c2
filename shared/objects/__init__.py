"""The object store: bytes under checked keys, written once. The only place that imports the MinIO client.

What the objects mean (clips, records, photos, model files) is said elsewhere.
"""

from shared.objects.answers import ObjectFacts
from shared.objects.connecting import UrlTrial
from shared.objects.store import ObjectStore

__all__ = ["ObjectFacts", "ObjectStore", "UrlTrial"]
