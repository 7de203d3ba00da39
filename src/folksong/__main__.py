"""``python -m folksong``: the command line, for launchers such as torchrun that take a module."""

from folksong.cli import main

if __name__ == "__main__":
    main(prog_name="folksong")
