"""The command line as a program: ``folksong``, or ``python -m folksong`` for launchers such as torchrun."""

import sys


def main() -> None:
    """Run the command of ``sys.argv``."""
    try:
        from folksong.cli import main as command
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        sys.exit(130)
    command(prog_name="folksong")


if __name__ == "__main__":
    main()
