"""Where images come from: the catalogue of sources, their files, downloads and decoding, and drawn stand-ins."""
