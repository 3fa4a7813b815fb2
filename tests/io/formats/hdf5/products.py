"""Small files with the structure of agencies' products.

Names, axes and attributes follow the documents named with each; where these were not at hand in full, they were
compared with what several published readers expect. No file here is a real product.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pathlib import Path

Values = NDArray[Any]


def write_neon(path: Path, values: Values) -> Path:
    """Write NEON's surface reflectance ``(y, x, bands)``.

    After NEON's tutorial "NEON AOP Hyperspectral Data in HDF5 format" and a real tile of the SJER site.
    """
    bands = values.shape[2]
    with h5py.File(path, "w") as file:
        group = file.create_group("SERC/Reflectance")
        group.attrs["Band_Window_1_Nanometers"] = [1340, 1445]
        group.attrs["Band_Window_2_Nanometers"] = [1790, 1955]
        data = group.create_dataset("Reflectance_Data", data=values.astype("<i2"), chunks=(4, 4, bands))
        data.attrs["Scale_Factor"] = np.array([10000.0])
        data.attrs["Data_Ignore_Value"] = np.array([-9999.0])
        spectral = group.create_group("Metadata/Spectral_Data")
        centres = spectral.create_dataset("Wavelength", data=np.linspace(383, 2512, bands))
        centres.attrs["Units"] = "nanometers"
        spectral["FWHM"] = np.full(bands, 5.7)
        place = group.create_group("Metadata/Coordinate_System")
        place["Map_Info"] = "UTM,  1.000,  1.000,       368000.00,       4307000.0,  1.0,  1.0,  18,  North,  WGS-84"
        place["EPSG Code"] = "32618"
        place["Proj4"] = "+proj=UTM +zone=18 +ellps=WGS84 +datum=WGS84 +units=m +no_defs"
    return path


def write_prisma(path: Path, level: str, vnir: Values, swir: Values, pan: Values | None) -> Path:
    """Write PRISMA cubes ``(bands, y, x)`` as they look on the map.

    After the "PRISMA Products Specification Document", issue 2.3 (ASI, 2020). Centres fall; unused bands have centre 0:
    three before those of VNIR, one after those of SWIR.
    """

    def stored(cube: Values) -> Values:
        # L2D: (north-south, bands, west-east). The others: (line of the sensor from the right, bands, along track).
        return cube.transpose(1, 0, 2) if level == "L2D" else cube[:, :, ::-1].transpose(2, 0, 1)

    with h5py.File(path, "w") as file:
        fields = file.create_group(f"HDFEOS/SWATHS/PRS_{level}_HCO/Data Fields")
        fields.create_dataset("VNIR_Cube", data=stored(vnir), chunks=True, compression="gzip", shuffle=True)
        fields.create_dataset("SWIR_Cube", data=stored(swir), chunks=True, compression="gzip")
        fields["VNIR_PIXEL_L2_ERR_MATRIX"] = np.zeros(stored(vnir).shape, "u1")
        file.create_group(f"HDFEOS/SWATHS/PRS_{level}_HCO/Geolocation Fields")
        if pan is not None:
            image = pan if level == "L2D" else pan[:, ::-1].T
            file[f"HDFEOS/SWATHS/PRS_{level}_PCO/Data Fields/Cube"] = image
        for name, bands, unused, ends in (("Vnir", len(vnir), 3, (977, 406)), ("Swir", len(swir), 1, (2497, 943))):
            centres = np.linspace(*ends, bands - unused).astype("f4")
            empty = np.zeros(unused, "f4")
            order = (empty, centres) if name == "Vnir" else (centres, empty)
            file.attrs[f"List_Cw_{name}"] = np.concatenate(order)
            file.attrs[f"List_Fwhm_{name}"] = np.where(file.attrs[f"List_Cw_{name}"] > 0, 12, 0).astype("f4")
            file.attrs[f"List_Cw_{name}_Flags"] = (file.attrs[f"List_Cw_{name}"] > 0).astype("i4")
        for name, low, high in (("Vnir", 0.0, 1.2), ("Swir", -0.1, 0.9), ("Pan", 0.0, 0.8)):
            if level == "L1":
                file.attrs[f"ScaleFactor_{name}"], file.attrs[f"Offset_{name}"] = np.float32(100), np.float32(0)
            else:
                file.attrs[f"L2Scale{name}Min"], file.attrs[f"L2Scale{name}Max"] = np.float32(low), np.float32(high)
        if level == "L2D":
            file.attrs["Epsg_Code"] = np.uint32(32632)
            file.attrs["Product_ULcorner_easting"] = np.float32(352740)
            file.attrs["Product_ULcorner_northing"] = np.float32(4987250)
            file.attrs["Product_ID"] = b"PRS_L2D_STD"
    return path


def write_emit(path: Path, values: Values, name: str = "reflectance") -> Path:
    """Write EMIT reflectance ``(downtrack, crosstrack, bands)``.

    After the structure that LP DAAC publishes for EMIT_L2A_RFL_001 (OPeNDAP's DMR++), and the tool of the EMIT team
    that writes the product (emit-utils, daac_converter).
    """
    bands = values.shape[2]
    with h5py.File(path, "w") as file:
        data = file.create_dataset(name, data=values.astype("<f4"), chunks=(4, 4, bands), compression="gzip")
        data.attrs["_FillValue"] = np.array([-9999.0], "<f4")
        for axis, label in enumerate(("downtrack", "crosstrack", "bands")):
            scale = file.create_dataset(label, data=np.arange(values.shape[axis], dtype="f4"))
            scale.make_scale(label)
            data.dims[axis].attach_scale(scale)
        group = file.create_group("sensor_band_parameters")
        group["wavelengths"] = np.linspace(381, 2493, bands).astype("f4")
        group["fwhm"] = np.full(bands, 8.5, "f4")
        good = np.ones(bands, "f4")
        good[bands // 2] = 0
        group["good_wavelengths"] = good
        file.create_group("location")["glt_x"] = np.zeros((6, 6), "i4")
        file.attrs["geotransform"] = np.array([12.0, 5e-4, 0, 48.0, 0, -5e-4])
        file.attrs["title"] = "EMIT L2A Estimated Surface Reflectance 60 m V001"
    return path


def write_tanager(path: Path, kind: str, values: Values) -> Path:
    """Write a Tanager scene ``(bands, y, x)``, basic or ortho.

    After Planet's "Tanager Product Specification", November 2025, section 3.6.
    """
    bands, height, width = values.shape
    group = "GRIDS" if kind == "ortho" else "SWATHS"
    with h5py.File(path, "w") as file:
        fields = file.create_group(f"HDFEOS/{group}/HYP/Data Fields")
        data = fields.create_dataset("surface_reflectance", data=values.astype("<f4"), chunks=True, compression="gzip")
        data.attrs["wavelengths"] = np.linspace(376, 2499, bands)
        data.attrs["fwhm"] = np.full(bands, 5.5)
        data.attrs["good_wavelengths"] = (np.arange(bands) != 2).astype("u1")
        data.attrs["_FillValue"] = np.float32(-9999)
        fields["nodata_pixels"] = np.zeros((height, width), "u4")
        fields["sun_zenith"] = np.zeros((height, width), "f4")
        if kind == "ortho":
            file[f"HDFEOS/{group}/HYP"].attrs["epsg_code"] = np.int64(32613)
            file["HDFEOS INFORMATION/StructMetadata.0"] = np.bytes_(
                "GROUP=SwathStructure\nEND_GROUP=SwathStructure\nGROUP=GridStructure\n\tGROUP=GRID_1\n"
                f'\t\tGridName="HYP"\n\t\tBand={bands}\n\t\tXDim={width}\n\t\tYDim={height}\n'
                "\t\tUpperLeftPointMtrs=(570300.00,3555450.00)\n"
                f"\t\tLowerRightMtrs=({570300 + 30 * width:.2f},{3555450 - 30 * height:.2f})\n"
                "\t\tProjection=HE5_GCTP_UTM\n\t\tZoneCode=13\n\tEND_GROUP=GRID_1\nEND_GROUP=GridStructure\nEND\n"
            )
        else:
            place = file.create_group(f"HDFEOS/{group}/HYP/Geolocation Fields")
            place["Latitude"] = np.zeros((height, width))
            place.attrs["Planet_Ortho_Framing"] = '{"epsg_code": 32613, "rows": 608, "cols": 1016}'
    return path


ENMAP = "ENMAP01-____L2A-DT0000001867_20220724T104526Z_008_V010302_20230628T165614Z"
DESIS = "DESIS-HSI-L2A-DT1203190212_025-20191203T021128-V0210"


def write_enmap(folder: Path, values: Values, stem: str = ENMAP) -> tuple[Path, Path]:
    """Write image ``(bands, y, x)`` and metadata of EnMAP, after its "HSI Level 1 / Level 2 Product Specification"."""
    import tifffile

    image, metadata = folder / f"{stem}-SPECTRAL_IMAGE.TIF", folder / f"{stem}-METADATA.XML"
    tifffile.imwrite(image, values, photometric="minisblack", planarconfig="separate")
    centres = np.linspace(418.24, 2445.53, len(values))
    bands = "".join(
        f'<bandID number="{number}"><wavelengthCenterOfBand>{centre:.3f}</wavelengthCenterOfBand>'
        f"<FWHMOfBand>{7 + number / 10}</FWHMOfBand><GainOfBand>0.0001</GainOfBand>"
        "<OffsetOfBand>0</OffsetOfBand></bandID>"
        for number, centre in enumerate(centres, 1)
    )
    metadata.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<level_X xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        "<metadata><schema/></metadata><base><level>L2A</level></base><specific>"
        f"<backgroundValue>-32768</backgroundValue><bandCharacterisation>{bands}</bandCharacterisation>"
        '<quality><deadPixelMap><bandID number="1">3</bandID></deadPixelMap></quality></specific></level_X>',
        encoding="utf-8",
    )
    return image, metadata


def write_desis(folder: Path, values: Values) -> tuple[Path, Path]:
    """Write image ``(bands, y, x)``, by pixel, and metadata of DESIS.

    After the "DESIS Product Specification" (PAV-DLR-ICD-003).
    """
    import tifffile

    image, metadata = folder / f"{DESIS}-SPECTRAL_IMAGE.tif", folder / f"{DESIS}-METADATA.xml"
    tifffile.imwrite(image, values.transpose(1, 2, 0), photometric="minisblack", planarconfig="contig")
    centres = np.linspace(401.7, 999.5, len(values))
    bands = "".join(
        f"<band><bandNumber>{number}</bandNumber><wavelengthCenterOfBand>{centre:.3f}</wavelengthCenterOfBand>"
        "<wavelengthWidthOfBand>3.5</wavelengthWidthOfBand><response>0.1,1,0.1</response>"
        f"<gainOfBand>{number * 1e-4}</gainOfBand><offsetOfBand>{number / 100}</offsetOfBand></band>"
        for number, centre in enumerate(centres, 1)
    )
    metadata.write_text(
        '<hsi_doc xmlns:hsi="http://www.dlr.de/desis"><base/><specific>'
        f"<bandCharacterisation>{bands}</bandCharacterisation>"
        "<interiorOrientation><band><bandNumber>1</bandNumber><x>0</x></band></interiorOrientation></specific></hsi_doc>",
        encoding="utf-8",
    )
    return image, metadata
