"""How much memory each part of the package takes at a time: every cap in one place.

Bytes, where nothing else is said. Read them as ``memory.NAME`` when they are used, so that one assignment changes them.
"""

from __future__ import annotations

# --- reading -----------------------------------------------------------------------------

# a chunk of the lazy array that the viewer shows one band of
DISPLAY_CHUNK = 64 << 20
# the same where all bands of a pixel lie side by side, and a chunk drags them all through memory
DISPLAY_SPAN = 256 << 20
# a chunk of the lazy array over an HDF5 data set, at least: smaller ones are joined
HDF_CHUNK = 4 << 20
# unpacked chunks that an open HDF5 file keeps
HDF_CACHE = 64 << 20
# the box around scattered pixels of an HDF5 data set that is read whole rather than piece by piece
HDF_BOX = 64 << 20
# a piece of a compressed MATLAB variable while it is unpacked
UNPACKED_PIECE = 1 << 20
# lines of a cube that is read whole
READ = 16_000_000
# white and dark panels, read a few lines at a time
PANEL_BLOCK = 64 << 20

# --- text beside the pixels ------------------------------------------------------------------

# an XML file or entry, or the package's own entry
LONGEST_TEXT = 64 << 20
# an ENVI header
LONGEST_HEADER = 8 << 20
# a text file of wavelengths
LONGEST_WAVELENGTHS = 10_000_000
# a world file: six numbers
LONGEST_WORLD_FILE = 10_000
# further metadata of a cube, as they are written to a file
LONGEST_METADATA = 256 << 10

# --- saving ----------------------------------------------------------------------------------

# a block of a cube on its way to a file; five are alive at once at most: two read, one waiting, two written
SAVED_BLOCK = 32 << 20
# what a loop over small pieces may touch and stay in the processor's cache
CACHED = 256 << 10
# rows that are halved at once for the levels of a Zarr image: smaller steps keep threads waiting for each other
HALVED_ROWS = 1 << 20
# a piece of a file that is copied into an NPZ archive
COPIED_PIECE = 16 << 20

# --- fusion ----------------------------------------------------------------------------------

# values of a cube that are looked at at a time while moments, means or a calibration are computed
STRIP = 32_000_000
# stored values of a pair that is read once and kept; larger ones are read as often as they are needed
KEPT_PAIR = 256_000_000
# result of one tile, above which tiles of automatic size become smaller
TILE = 256_000_000
# windows of a global network that are kept for the next tile
WINDOW_CACHE = 512_000_000
# first result of a method that another one corrects, kept so that it is computed once
BASE_CACHE = 256_000_000
# result of one trial of the automatic choice: 6 million values
TRIAL = 24_000_000
# block of an image that quality measures see at a time, at most that of each worker
QUALITY_BLOCK = 1 << 24

# --- networks, in pixels: what a pixel takes depends on the network's width ------------------------

# Measured on two cores: larger strips leave the caches and the allocator's pools, smaller ones drown in their halos.
STRIP_PIXELS = 1 << 16
# Measured on two cores: the tokens of this many pixels and their series stay in the caches.
LATENT_PIXELS = 1 << 13
# The slice weights of so many pixels take 8 MB at the released sizes.
SLICE_PIXELS = 1 << 12
# The encoder reaches far: in larger strips than usual it computes fewer rows twice.
ENCODED_PIXELS = 1 << 17
