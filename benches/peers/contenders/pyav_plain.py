"""PyAV, plain: every frame from the key frame on is decoded."""

from job import Job
from pyav_common import grab

grab(Job(), None)
