"""FVD: how far generated videos are from real ones."""

from modalink.scoring.benchmarks._distance import distance

benchmark = distance(
    "FVD", "video", "Unterthiner et al. 2018", "I3D (Kinetics-400) of 16 frames at 224 pixels; say how many clips"
)
