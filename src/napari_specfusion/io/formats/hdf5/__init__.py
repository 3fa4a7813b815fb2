"""HDF5 and NetCDF 4 files, and the products stored in them."""
