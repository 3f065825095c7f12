"""A stage's folder: stored inputs, staging, manifest, identity, lineage, publishing, lock. The only state there is."""
