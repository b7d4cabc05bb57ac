"""Limits for the sizes that a checkpoint declares; they are checked before anything is read."""

# The largest network here has 878 tensors, and its training state some thousand.
MAX_TENSORS = 20_000

# Widening bfloat16 doubles a file, and a network and its running average may share what did not change.
MAX_EXPANSION = 4

# Keras describes a network in some hundred kilobytes of JSON, which takes up to twenty times as much when parsed.
MAX_JSON_BYTES = 4 * 2**20

# Tensor, layer and class names; the longest in use has about 150 characters.
MAX_NAME_LENGTH = 1024

# numpy before version 2 knows no more axes.
MAX_RANK = 32

# No dimension product may pass this, not even next to a zero, where it would escape a comparison with the file's size.
MAX_ELEMENTS = 2**40

# Opcodes of a pickle, each of which may leave some hundred bytes in memory. The largest training state of this family,
# a timm_xception71 with AdamW and an average of the weights, takes 107,000.
MAX_OPCODES = 500_000

# Objects, messages and entries looked at in an HDF5 file; a whole keras_xception takes 4,300.
MAX_HDF5_STEPS = 100_000

# State dicts in one file: weights, their average, a teacher, a discriminator ...
MAX_GROUPS = 64

# TensorGroups within groups in an HDF5 file: a network inside a network inside a network is three deep.
MAX_DEPTH = 16

# Shards of one TensorFlow checkpoint; a network of this family comes in one.
MAX_SHARDS = 1024

# The index of a TensorFlow checkpoint takes about 100 bytes per tensor, and is checksummed in pure Python.
MAX_INDEX_BYTES = 4 * 2**20
