"""Says what environment a child in Python has."""

import os

if __name__ == "__main__":
    print("\n".join(f"{name}={value}" for name, value in os.environ.items()))
