"""Memory limits of every part of the package, in one place.

In bytes unless stated otherwise. Read them as ``memory.NAME`` at the time of use, so that one assignment changes them.
"""

from __future__ import annotations

# --- reading -----------------------------------------------------------------------------

# a chunk of the lazy array that the viewer shows band by band
DISPLAY_CHUNK = 64 << 20
# the same where the bands of a pixel are stored together, so that reading a chunk loads them all
DISPLAY_SPAN = 256 << 20
# a chunk of the lazy array over an HDF5 data set, at least: smaller ones are joined
HDF_CHUNK = 4 << 20
# unpacked chunks that an open HDF5 file keeps
HDF_CACHE = 64 << 20
# the box around scattered pixels of an HDF5 data set that is read whole rather than piece by piece
HDF_BOX = 64 << 20
# a piece of a compressed MATLAB variable while it is unpacked
UNPACKED_PIECE = 1 << 20
# lines read at a time from a cube that is read whole
READ = 16_000_000
# white and dark panels, read a few lines at a time
PANEL_BLOCK = 64 << 20

# pixels of a band that is shown at once; of a larger one with coarser copies, as much as the window has room for
SHOWN_WHOLE = 1 << 22

# --- text about the pixels -------------------------------------------------------------------

# an XML file or entry, or the package's own entry
LONGEST_TEXT = 64 << 20
# an ENVI header
LONGEST_HEADER = 8 << 20
# a text file of wavelengths
LONGEST_WAVELENGTHS = 10_000_000
# a table of spectral responses
LONGEST_RESPONSE = 10_000_000
# spectra in a text file, and in an ENVI library
LARGEST_LIBRARY_TEXT = 64 << 20
LARGEST_LIBRARY = 512 << 20
# a world file: six numbers
LONGEST_WORLD_FILE = 10_000
# a saved alignment: a field of a large scene has a few thousand numbers
LARGEST_ALIGNMENT = 64 << 20
# other metadata of a cube, as written to a file
LONGEST_METADATA = 256 << 10

# --- saving ----------------------------------------------------------------------------------

# a block of a cube on its way to a file; five are alive at once at most: two read, one waiting, two written
SAVED_BLOCK = 32 << 20
# working set of a loop over small pieces that still fits the processor's cache
CACHED = 256 << 10
# rows halved at once for the levels of a Zarr image: with smaller steps, threads wait for each other
HALVED_ROWS = 1 << 20
# a piece of a file that is copied into an NPZ archive
COPIED_PIECE = 16 << 20

# --- fusion ----------------------------------------------------------------------------------

# values of a cube processed at a time for moments, means or a calibration
STRIP = 32_000_000
# stored values of a pair that is read once and kept; larger pairs are read again when needed
KEPT_PAIR = 64_000_000
# stored values of a pair that is looked through for odd values; of larger pairs a sample is
SURVEYED_PAIR = 256_000_000
# result of one tile, at most, before tiles of automatic size become smaller
TILE = 34_000_000
# the same on a CUDA device
DEVICE_TILE = 512_000_000
# the largest array that glibc keeps for the next one by itself, and the largest one that a run lets it keep
UNMAPPED_BLOCK = 32 << 20
REUSED_BLOCK = 64 << 20
# terms of the guide in the geometry of each band, a few rows of a tile at a time
EXPANDED = 16_000_000
# the same, and features of the guide, on a device that is only fast with large pieces
DEVICE_EXPANDED = 512_000_000
# features of a block of the guide that are computed at a time
FEATURES = 64_000_000
# images that the detail regression learned, kept so that tiles need not compute them
LEARNED = 128_000_000
# windows of a global network that are kept for the next tile
WINDOW_CACHE = 512_000_000
# first result of a method that another one corrects, kept so that it is computed once
BASE_CACHE = 256_000_000
# an image in memory that is sent to the workers of a cluster
CARRIED = 16 << 20
# result of one trial of the automatic choice: 6 million values
TRIAL = 24_000_000
# block of an image that quality metrics process at a time, at most, per worker
QUALITY_BLOCK = 1 << 24

# --- networks, in pixels: memory per pixel depends on the network's width ------------------------

# Measured on two cores: larger strips leave the caches and the allocator's pools, smaller ones spend too much time on
# halos.
STRIP_PIXELS = 1 << 16
# Measured on two cores: the tokens of this many pixels and their series stay in the caches.
LATENT_PIXELS = 1 << 13
# The slice weights of this many pixels take 8 MB at the released sizes.
SLICE_PIXELS = 1 << 12
# The encoder has a large receptive field: in larger strips it computes fewer rows twice.
ENCODED_PIXELS = 1 << 17
