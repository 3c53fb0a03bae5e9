"""Training the segmenter: ``trainer`` is the file to read; the others are what it stands on."""
