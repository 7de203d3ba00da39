"""The networks: front-ends, back-end and the tagger made of them."""
