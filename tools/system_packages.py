"""See to the system packages that a napari window needs: install them when root on Debian or Ubuntu, else name them.

Only Linux needs any. Run with the plain interpreter: nothing but the standard library is used.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import subprocess
import sys

# What PyQt6's xcb platform plugin and OpenGL load, and the Debian package that brings it.
LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libX11.so.6": "libx11-6",
    "libbrotlidec.so.1": "libbrotli1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgssapi_krb5.so.2": "libgssapi-krb5-2",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-glx.so.0": "libxcb-glx0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-render.so.0": "libxcb-render0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-shm.so.0": "libxcb-shm0",
    "libxcb-sync.so.1": "libxcb-sync1",
    "libxcb-util.so.1": "libxcb-util1",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxkbcommon.so.0": "libxkbcommon0",
}
PROGRAMS = {"Xvfb": "xvfb", "xauth": "xauth", "xvfb-run": "xvfb"}


def missing_packages(with_xvfb: bool) -> list[str]:
    """Return the Debian names of the packages whose library or program is not found."""
    missing = {package for library, package in LIBRARIES.items() if not loads(library)}
    if with_xvfb:
        missing |= {package for program, package in PROGRAMS.items() if shutil.which(program) is None}
    return sorted(missing)


def loads(library: str) -> bool:
    """Tell whether the dynamic linker finds a library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def install(packages: list[str]) -> None:
    """Install Debian packages; what apt says goes to the terminal."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    print("Installing system packages:", *packages, flush=True)
    subprocess.run(["apt-get", "-qq", "update"], env=environment, check=True)
    command = ["apt-get", "-qq", "install", "--yes", "--no-install-recommends", *packages]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)


def main() -> int:
    """Install or name what is missing; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-xvfb", action="store_true", help="there is a display: no virtual one is needed")
    with_xvfb = not parser.parse_args().no_xvfb
    if sys.platform != "linux":
        return 0
    missing = missing_packages(with_xvfb)
    has_apt = shutil.which("apt-get") is not None
    if missing and has_apt and os.geteuid() == 0:
        try:
            install(missing)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"Installing failed: {error}", file=sys.stderr)
        missing = missing_packages(with_xvfb)
    if not missing:
        return 0
    names = " ".join(missing)
    if has_apt:
        remedy = f"run: sudo apt-get install -y {names}"
    else:
        remedy = f"install what these Debian packages hold with your system's package manager: {names}"
    print(f"System packages for a napari window are missing; {remedy}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
