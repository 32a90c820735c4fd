"""`python -m modalink`: the program, where no `modalink` is on the path, and under `torchrun -m modalink`."""

from modalink.cli.main import main

if __name__ == "__main__":
    main()
