"""Recordings and weights that the project may not carry: what they are, where they lie, how to get
them.

The project tracks an index of each collection (public URL pinned to a commit, size, sha256,
licence, how to cut and convert). The files themselves come from `nacbench data fetch`, or from a
folder named by `NACBENCH_DATA` or `--data` that already has them.
"""

from nacbench.data.index import Entry, collection, collections, members
from nacbench.data.places import Kept, find, present, roots

__all__ = ["Entry", "Kept", "collection", "collections", "find", "members", "present", "roots"]
