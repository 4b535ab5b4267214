"""What runs a network on the windows of a frame."""
