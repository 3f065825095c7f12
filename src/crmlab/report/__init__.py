"""Pages: template, index, translation of notebooks."""
