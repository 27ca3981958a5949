"""Bitstreams: how they are built, what their manifests say, and where they are found."""
