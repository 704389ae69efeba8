"""Train a small network to read handwritten digits, and say how well it does.

The data set (1,797 images of 8 × 8 pixels) comes with scikit-learn, so nothing is downloaded.
"""

import os
import sys

from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

EPOCHS = int(os.environ.get("EPOCHS", "10"))


def main() -> None:
    images, labels = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(
        images / 16.0, labels, test_size=0.25, random_state=7, stratify=labels
    )
    rank, nodes = os.environ.get("FLOW_NODE_RANK", "0"), os.environ.get("FLOW_NUM_NODES", "1")
    print(
        f"node {rank} of {nodes}: {len(train_x)} images to learn from, {len(test_x)} to be judged by"
    )

    model = MLPClassifier(
        hidden_layer_sizes=(64,), learning_rate_init=0.005, batch_size=64, random_state=7
    )
    for epoch in range(1, EPOCHS + 1):
        model.partial_fit(train_x, train_y, classes=range(10))
        accuracy = accuracy_score(test_y, model.predict(test_x))
        print(f"epoch {epoch:2d}/{EPOCHS}  loss {model.loss_:.4f}  accuracy {accuracy:.1%}")

    print(f"final accuracy: {accuracy:.1%}")
    sys.exit(0 if accuracy > 0.9 else 1)


if __name__ == "__main__":
    main()
