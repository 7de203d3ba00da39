"""What is classified: label spaces and the builders that make them from tag tables."""
