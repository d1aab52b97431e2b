"""From one study to masks, measures, pictures, a page and DICOM objects."""
