"""Data sets: what is loaded, how it is split, and what is said when it cannot be had."""

import gzip
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from trainer.tasks import DATASETS, Dataset, DataUnavailable
from trainer.tasks.dataset import stratified_split


def test_digits_are_split_the_same_way_each_time(tmp_path: Path) -> None:
    digits = DATASETS.make("digits", tmp_path)
    assert digits.shape == (1, 8, 8)
    assert (len(digits.train_labels), len(digits.test_labels)) == (1438, 359)
    assert digits.train_images.max() == 255
    again = DATASETS.make("digits", tmp_path)
    assert torch.equal(digits.test_images, again.test_images)
    content = digits.test_images.numpy().tobytes() + digits.test_labels.numpy().tobytes()
    assert hashlib.sha256(content).hexdigest().startswith("617b4fe6e84afdb8")
    for label in range(10):
        count = int((digits.test_labels == label).sum())
        whole = count + int((digits.train_labels == label).sum())
        assert count == round(whole / 5)


def test_a_stratified_split_gives_each_class_its_share() -> None:
    labels = np.array([0] * 10 + [1] * 5 + [2] * 2 + [3])
    train, test = stratified_split(labels, 0.2)
    assert sorted([*train, *test]) == list(range(18))
    assert np.bincount(labels[test], minlength=4).tolist() == [2, 1, 1, 0]


def test_fake_pictures_have_the_shape_and_seed_asked_for(tmp_path: Path) -> None:
    options = {"classes": 3, "train_size": 7, "test_size": 4, "channels": 2, "image_size": 5}
    fake = DATASETS.make("fake", tmp_path, **options)
    assert fake.train_images.shape == (7, 2, 5, 5)
    assert fake.test_images.shape == (4, 2, 5, 5)
    assert fake.classes == ("0", "1", "2")
    same = DATASETS.make("fake", tmp_path, **options)
    other = DATASETS.make("fake", tmp_path, seed=1, **options)
    assert torch.equal(fake.train_images, same.train_images)
    assert not torch.equal(fake.train_images, other.train_images)


def test_channels_are_normalized_by_the_training_pictures(tmp_path: Path) -> None:
    fake = DATASETS.make("fake", tmp_path, channels=3)
    inputs = fake.normalized(fake.train_images)
    assert inputs.dtype == torch.float32
    torch.testing.assert_close(inputs.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        inputs.std(dim=(0, 2, 3), correction=0), torch.ones(3), atol=1e-4, rtol=0
    )


def test_pictures_of_one_colour_are_no_division_by_zero() -> None:
    images, labels = torch.full((2, 1, 4, 4), 9, dtype=torch.uint8), torch.tensor([0, 1])
    plain = Dataset.of("plain", ["a", "b"], (images, labels), (images, labels))
    assert torch.isfinite(plain.normalized(images)).all()


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]), "uint8"),
        (torch.zeros(2, 4, 4, dtype=torch.uint8), torch.tensor([0, 1]), r"\[N, C, H, W\]"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([0]), r"int64 labels \[2\]"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 2]), "outside its 2 classes"),
        (torch.zeros(0, 1, 4, 4, dtype=torch.uint8), torch.zeros(0).long(), "no pictures"),
    ],
)
def test_a_dataset_says_what_is_wrong_with_its_tensors(
    images: torch.Tensor, labels: torch.Tensor, message: str
) -> None:
    good = torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 1])
    with pytest.raises(ValueError, match=message):
        Dataset.of("mine", ["a", "b"], good, (images, labels))


def paint(path: Path, shade: int, size: tuple[int, int] = (6, 9), mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, shade if mode == "L" else (shade, 0, 0)).save(path)


def test_a_folder_of_classes_is_split(tmp_path: Path) -> None:
    for index in range(10):
        paint(tmp_path / "pets" / "cat" / f"{index}.png", 10)
        paint(tmp_path / "pets" / "dog" / f"{index}.JPG", 200, mode="RGB")
    (tmp_path / "pets" / "dog" / "notes.txt").write_text("good dogs")
    (tmp_path / "pets" / ".cache").mkdir()
    pets = DATASETS.make("folder", Path("none"), path=str(tmp_path / "pets"), image_size=8)
    assert pets.classes == ("cat", "dog")
    assert pets.train_images.shape == (16, 3, 8, 8)
    assert torch.bincount(pets.test_labels).tolist() == [2, 2]
    assert (pets.train_images[pets.train_labels == 0] == 10).all()
    below_root = DATASETS.make("folder", tmp_path, path="pets", image_size=8, color="gray")
    assert below_root.shape == (1, 8, 8)


def test_a_folder_with_a_test_part_is_taken_as_it_is(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("test", 1)):
        for name in ("cat", "dog"):
            for index in range(count):
                paint(tmp_path / part / name / f"{index}.png", 10)
    pets = DATASETS.make("folder", tmp_path, path=str(tmp_path))
    assert (len(pets.train_labels), len(pets.test_labels)) == (6, 2)
    paint(tmp_path / "test" / "bird" / "0.png", 1)
    with pytest.raises(DataUnavailable, match="lacks: bird"):
        DATASETS.make("folder", tmp_path, path=str(tmp_path))


def test_a_folder_that_will_not_do_is_named(tmp_path: Path) -> None:
    def complaint() -> str:
        with pytest.raises(DataUnavailable) as caught:
            DATASETS.make("folder", tmp_path, path="pets")
        return str(caught.value)

    assert "there is no folder 'pets'" in complaint()
    assert str(tmp_path / "pets") in complaint()
    (tmp_path / "pets").mkdir()
    assert "at least two classes" in complaint()
    (tmp_path / "pets" / "cat").mkdir()
    (tmp_path / "pets" / "dog").mkdir()
    assert "no pictures to train on" in complaint()
    paint(tmp_path / "pets" / "cat" / "0.png", 3)
    assert "no pictures to test on" in complaint()
    (tmp_path / "pets" / "dog" / "1.png").write_bytes(b"not a picture")
    paint(tmp_path / "pets" / "cat" / "1.png", 3)
    assert "1.png cannot be read as a picture" in complaint()


class _Files(http.server.BaseHTTPRequestHandler):
    """Serves what the test put into `content`."""

    content: dict[str, bytes] = {}  # noqa: RUF012 - replaced, never changed

    def do_GET(self) -> None:
        body = self.content.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Files) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}/"
        running.shutdown()


def idx(array: np.ndarray) -> bytes:
    """The bytes of an IDX file, zipped."""
    head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return gzip.compress(head + array.astype(np.uint8).tobytes(), mtime=0)


def small_mnist(monkeypatch: pytest.MonkeyPatch, server: str) -> None:
    files = {}
    for part, count in (("train", 20), ("t10k", 10)):
        files[f"{part}-images-idx3-ubyte.gz"] = idx(np.arange(count * 784).reshape(count, 28, 28))
        files[f"{part}-labels-idx1-ubyte.gz"] = idx(np.arange(count) % 10)
    monkeypatch.setattr(_Files, "content", {f"/{name}": data for name, data in files.items()})
    sums = [(name, hashlib.md5(data).hexdigest()) for name, data in files.items()]
    monkeypatch.setattr(datasets.MNIST, "resources", sums)
    monkeypatch.setattr(datasets.MNIST, "mirrors", [server])


def test_a_download_is_loaded_and_next_time_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    small_mnist(monkeypatch, server)
    mnist = DATASETS.make("mnist", tmp_path / "data")
    assert mnist.train_images.shape == (20, 1, 28, 28)
    assert mnist.classes == tuple("0123456789")
    assert mnist.test_labels.tolist() == list(range(10))
    monkeypatch.setattr(_Files, "content", {})
    assert torch.equal(DATASETS.make("mnist", tmp_path / "data").train_images, mnist.train_images)
    assert capsys.readouterr().out == ""


def test_a_download_with_a_wrong_checksum_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    small_mnist(monkeypatch, server)
    monkeypatch.setitem(_Files.content, "/t10k-labels-idx1-ubyte.gz", idx(np.zeros(10)))
    with pytest.raises(DataUnavailable, match="corrupted"):
        DATASETS.make("mnist", tmp_path)


def test_a_torn_file_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    small_mnist(monkeypatch, server)
    DATASETS.make("mnist", tmp_path)
    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(DataUnavailable, match="damaged"):
        DATASETS.make("mnist", tmp_path)


@pytest.mark.parametrize(
    ("name", "source", "hint"),
    [
        ("mnist", datasets.MNIST, "make mnist"),
        ("fashion_mnist", datasets.FashionMNIST, "train-images-idx3-ubyte"),
        ("cifar10", datasets.CIFAR10, "cifar-10-python.tar.gz"),
    ],
)
def test_without_network_it_is_said_what_to_put_where(
    name: str, source: type, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = "http://127.0.0.1:9/"
    monkeypatch.setattr(source, "mirrors", [nobody], raising=False)
    monkeypatch.setattr(source, "url", nobody, raising=False)
    with pytest.raises(DataUnavailable) as caught:
        DATASETS.make(name, tmp_path / "data")
    assert hint in str(caught.value)
    assert str(tmp_path / "data") in str(caught.value)


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DataUnavailable, match="cannot make the data folder"):
        DATASETS.make("mnist", tmp_path / "data" / "below")
