"""torchcodec in its exact mode; it scales in its decoder."""

from job import Job
from PIL import Image
from torchcodec.decoders import VideoDecoder
from torchcodec.transforms import Resize

job = Job()
resize = {"transforms": [Resize((job.height, job.width))]} if job.scaled else {}
decoder = VideoDecoder(job.file, seek_mode="exact", dimension_order="NHWC", num_ffmpeg_threads=1, **resize)
batch = decoder.get_frames_played_at([ms / 1000 for ms in job.times_ms])
for place, picture in enumerate(batch.data):
    Image.fromarray(picture.numpy()).save(job.path(place), quality=job.quality)
