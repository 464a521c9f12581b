"""`python -m benchmarks.models`: the matrix of architectures."""

from benchmarks.models.matrix import main

if __name__ == "__main__":
    main()
