"""What is heard: catalogues of recordings, decoding, features."""
