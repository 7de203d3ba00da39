"""What words mean: word vectors and tag vectors."""
