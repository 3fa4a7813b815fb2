"""``python -m napari_specfusion``."""

import sys

from napari_specfusion.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
