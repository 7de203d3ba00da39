"""What web apps of folksong share: the guard in front of them, how they are served, and parts of their pages."""
