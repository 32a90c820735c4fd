"""FID: how far generated images are from real ones."""

from modalink.scoring.benchmarks._distance import distance

benchmark = distance(
    "FID", "image", "Heusel et al. 2017; mseitzer/pytorch-fid", "Inception-v3 pool3 (2,048) with the TensorFlow weights"
)
