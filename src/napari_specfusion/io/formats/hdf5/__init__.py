"""HDF5, NetCDF 4 and products in them."""
