"""OpenCV: a seek by milliseconds and a read for each instant."""

import os

os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "threads;1"

import cv2
from job import Job

job = Job()
cv2.setNumThreads(1)
capture = cv2.VideoCapture(job.file, cv2.CAP_FFMPEG)
if not capture.isOpened():
    raise SystemExit("OpenCV does not open the file")
for place, time_ms in enumerate(job.times_ms):
    capture.set(cv2.CAP_PROP_POS_MSEC, time_ms)
    there, picture = capture.read()
    if not there:
        continue
    if job.scaled:
        picture = cv2.resize(picture, (job.width, job.height), interpolation=cv2.INTER_AREA)
    cv2.imwrite(job.path(place), picture, [cv2.IMWRITE_JPEG_QUALITY, job.quality])
