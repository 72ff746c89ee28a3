"""PyAV in the hands of an expert: frames that nothing refers to are skipped until shortly before the instant."""

from job import Job
from pyav_common import grab

# No codec shows a frame further than this from its place in decoding order.
REORDER_MAX = 16

grab(Job(), REORDER_MAX)
