"""What a stack says about itself: noise, intensity range, exposure and kind of data."""
