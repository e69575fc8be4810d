"""The real workload: a small network that reads handwritten digits, its matrix products on any device.

The images are scikit-learn's (1,797 digits of 8×8 pixels, from the UCI repository); half of them train the network,
the other half are classified.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

Floats = NDArray[np.float32]

INPUTS, HIDDEN, OUTPUTS = 64, (128, 64), 10
"""Widths of the images, the hidden layers and the answer."""

Multiply = Callable[[int, Floats], Floats]
"""Product of a batch `(images, inputs)` with the weights of a layer, by the layer's number: `(images, outputs)`."""


@dataclass(frozen=True, eq=False)
class Digits:
    """A trained network and the images it has not seen.

    Attributes
    ----------
    weights : list of float32 `(outputs, inputs)`
    biases : list of float32 `(outputs,)`
    images : float32 `(images, 64)`, zero mean
    labels : int64 `(images,)`
    pixels : float64 `(images, 8, 8)`, the images as they are seen, 0 to 16
    """

    weights: list[Floats]
    biases: list[Floats]
    images: Floats
    labels: NDArray[np.int64]
    pixels: NDArray[np.float64]

    def read(self, multiply: Multiply) -> NDArray[np.int64]:
        """The digit seen in each image when `multiply` does the products: int64 `(images,)`."""
        x = self.images
        for layer, bias in enumerate(self.biases):
            x = multiply(layer, x) + bias
            if layer + 1 < len(self.biases):
                x = np.maximum(x, 0)
        return x.argmax(axis=1)

    def accuracy(self, multiply: Multiply) -> float:
        """Fraction of the images that are read right when `multiply` does the products."""
        return float((self.read(multiply) == self.labels).mean())

    def exact(self, layer: int, x: Floats) -> Floats:
        """The product in float32."""
        return x @ self.weights[layer].T


def train() -> Digits:
    """Trains the network, the same one every time; a few seconds."""
    pixels, labels = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(pixels, labels, test_size=0.5, random_state=0, stratify=labels)
    mean, spread = x_train.mean(axis=0), x_train.std()
    network = MLPClassifier(HIDDEN, alpha=1e-3, max_iter=60, n_iter_no_change=60, tol=0, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # enough, though not to the last digit
        network.fit((x_train - mean) / spread, y_train)
    return Digits(
        [w.T.astype(np.float32) for w in network.coefs_],
        [b.astype(np.float32) for b in network.intercepts_],
        ((x_test - mean) / spread).astype(np.float32),
        y_test.astype(np.int64),
        x_test.reshape(-1, 8, 8),
    )
