"""Sizes of the data that the checks predict."""

TARS, IMAGES, IMAGES_PER_SHARD = 4, 1000, 40
SHARDS = IMAGES // IMAGES_PER_SHARD
