"""One function a result: result in, Axes with alt text out."""
