"""What files say about their pixels: units, axes, wavelengths, place."""
